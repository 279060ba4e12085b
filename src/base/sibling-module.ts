/**
 * The module `name` (without its ending) beside the one at `url`, for what is started by file name:
 * a program, a thread. It has the ending of the one that asks, so that both are sources (`.ts`) in a
 * checkout and compiled (`.js`) in the installed package.
 */
export function siblingModule(name: string, url: string): URL {
  const ending = /\.[jt]s$/.exec(url)?.[0] ?? '.js'
  return new URL(name + ending, url)
}
