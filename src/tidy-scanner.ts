/** What a `/` after such an end begins is a regular expression, not a division. */
const BEFORE_EXPRESSION = /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|of|in))\s*$/

const TOKEN =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`|\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*|[{}]/y

/** The text with every comment and regular expression blanked; lines stay where they are. */
export function codeOnly(text: string): string {
  return scan(text, (token, kind) => (kind === 'string' ? token : blank(token)))
}

/** Code with the contents of strings blanked as well, but not what stands in `${…}`. */
export function withoutStrings(code: string): string {
  return scan(code, (token) => blank(token))
}

type Kind = 'comment' | 'string' | 'expression'

function scan(text: string, replace: (token: string, kind: Kind) => string): string {
  let out = ''
  let at = 0
  /** For each open `${`, how many braces are open inside it. */
  const open: number[] = []
  while (at < text.length) {
    TOKEN.lastIndex = at
    const token = TOKEN.exec(text)?.[0]
    const depth = open.at(-1)
    if (token === undefined || (isExpression(token) && !BEFORE_EXPRESSION.test(out.slice(-40)))) {
      out += text[at]
      at += 1
    } else if (token === '`' || (token === '}' && depth === 0)) {
      if (token === '}') open.pop()
      const part = templatePart(text, at)
      out += token + replace(part.slice(1, -1), 'string') + part.slice(-1)
      at += part.length
      if (part.endsWith('{')) open.push(0)
    } else if (token === '{' || token === '}') {
      if (depth !== undefined) open[open.length - 1] = depth + (token === '{' ? 1 : -1)
      out += token
      at += 1
    } else {
      out += replace(token, kindOf(token))
      at += token.length
    }
  }
  return out
}

/** From a backtick or the `}` of `${…}` to the next `${` or the closing backtick, both included. */
function templatePart(text: string, start: number): string {
  const end = /(?:\\[\s\S]|\$(?!\{)|[^\\`$])*(?:`|\$\{)/y
  end.lastIndex = start + 1
  return text[start] + (end.exec(text)?.[0] ?? text.slice(start + 1))
}

function kindOf(token: string): Kind {
  if (token.startsWith('//') || token.startsWith('/*')) return 'comment'
  return token.startsWith('/') ? 'expression' : 'string'
}

function isExpression(token: string): boolean {
  return kindOf(token) === 'expression'
}

/** Spaces and line ends only, as long as the token; quotes stay, so that the code keeps its shape. */
function blank(token: string): string {
  const quote = /^['"]/.exec(token)?.[0] ?? ''
  const inner = quote === '' ? token : token.slice(1, -1)
  return quote + inner.replace(/[^\n]/g, ' ') + quote
}
