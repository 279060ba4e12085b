/** Writes docs/operations/configuration.md from the table of settings. */
import { writeFileSync } from 'node:fs'
import { configurationPage } from '../src/config/configuration-page.ts'

const PAGE = new URL('../docs/operations/configuration.md', import.meta.url)
writeFileSync(PAGE, configurationPage())
