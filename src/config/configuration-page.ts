import type { Group, Setting } from './setting.ts'
import { SETTING_ROWS } from './settings.ts'

const GROUPS: Readonly<Record<Group, string>> = {
  places: 'Places',
  network: 'Network',
  access: 'Access',
  servers: 'Database servers',
  sets: 'Backup sets',
  watching: 'Metrics and notification',
  clients: 'Client commands',
}

const HEAD = `# Configuration

Holdfast is configured by environment variables, read once at the start; all problems are reported
together. An empty variable counts as not set, a relative path is relative to the working directory.
A variable that begins with \`HOLDFAST_\` and is not on this page is most likely misspelt: \`serve\`
warns of it.

A **secret** may be in a file instead: \`<name>_FILE\` names the file, whose last line break is not
part of the secret. Nobody but its owner may read that file (\`chmod 600\`); of a file of root, its
group may (\`0640\`). Secrets are never logged or printed.

This page is generated from the code by \`script/write-configuration-page.ts\`.
`

/** The reference of all settings, as Markdown. */
export function configurationPage(): string {
  const sections = Object.entries(GROUPS).map(([group, title]) => {
    const rows = SETTING_ROWS.filter((row) => row.group === group).map(tableRow)
    return `\n## ${title}\n\n| name | meaning | default |\n|---|---|---|\n${rows.join('\n')}\n`
  })
  return `${HEAD}${sections.join('')}`
}

function tableRow({ name, meaning, otherwise, secret }: Setting<unknown>): string {
  const cells = [`\`${name}\``, `${meaning}${secret ? '. **Secret**' : ''}`, otherwise]
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
}
