import { ERRORS, type ErrorCode } from './errors.ts'
import { escapeXml } from './rendering.ts'

/** Where the `Recommend` of an error leads: what its code means and what helps, as a page. */
export function troubleshootingPage(query: URLSearchParams): string {
  const code = query.get('q') ?? ''
  const requestId = query.get('requestId') ?? ''
  const rows = [['Code', code], ...explain(code), ['RequestId', requestId]].filter(
    ([, value]) => value !== '',
  )
  const table = rows
    .map(
      ([name, value]) => `<tr><th>${escapeXml(name ?? '')}</th><td>${escapeXml(value ?? '')}</td>`,
    )
    .join('\n')
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${escapeXml(code)}</title>
<style>body{font:16px sans-serif;margin:2em}th{text-align:left;padding-right:1em}</style>
<h1>${escapeXml(code)}</h1>
<table>
${table}
</table>
<p>The log of the service has a line for every RequestId.</p>
</html>
`
}

function explain(code: string): readonly (readonly [string, string])[] {
  if (isErrorCode(code)) {
    const { status, message, cause, fix } = ERRORS[code]
    return [
      ['HTTP status', `${status}`],
      ['Message', message],
      ['Cause', cause.en],
      ['原因', cause.zh],
      ['What helps', fix.en],
      ['解决方法', fix.zh],
    ]
  }
  const [, kind, name] = /^(Missing|Invalid)([A-Za-z0-9]+)$/.exec(code) ?? []
  if (name === undefined) return []
  const cause =
    kind === 'Missing' ? `${name} has to be given.` : `The value of ${name} cannot be used.`
  return [['Cause', cause]]
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code)
}
