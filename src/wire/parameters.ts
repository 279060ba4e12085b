import { z } from 'zod'
import { type Instant, parseIso } from '../base/clock.ts'
import type { Text } from './error-text.ts'
import { type ApiError, type ErrorCode, invalidParameter, missingParameter } from './errors.ts'

/** Request parameters as they arrived, decoded: each name once, an empty value is kept. */
export type RawParameters = ReadonlyMap<string, string>

/** What is known of a parameter beyond its type. */
interface ParameterFacts {
  readonly description: Text
  /** The code for a bad value; null: `Invalid<Name>`. */
  readonly error: ErrorCode | null
  /** Never logged. */
  readonly secret: boolean
}

const FACTS = z.registry<ParameterFacts>()

interface Options {
  readonly error?: ErrorCode
  readonly secret?: boolean
}

/**
 * The builders make mandatory parameters; `.optional()` and `.default(value)` after them make
 * optional ones. An empty value counts as absent everywhere.
 */
export function text(en: string, zh: string, options: Options = {}): z.ZodString {
  return z.string().register(FACTS, facts(en, zh, options))
}

/** A whole number in decimal digits, within `min` and `max`. */
export function wholeNumber(
  en: string,
  zh: string,
  options: Options & { readonly min: number; readonly max: number },
): z.ZodType<number, string> {
  return z
    .string()
    .regex(/^-?\d{1,15}$/)
    .transform(Number)
    .refine((value) => value >= options.min && value <= options.max)
    .register(FACTS, facts(en, zh, options))
}

/** One of `values`, spelt exactly so. */
export function choice<const Value extends string>(
  values: readonly Value[],
  en: string,
  zh: string,
  options: Options = {},
): z.ZodLiteral<Value> {
  const schema = z.literal(values)
  FACTS.add(schema, facts(en, zh, options))
  return schema
}

/** `true` or `false` in any case, as the SDKs send booleans. */
export function flag(en: string, zh: string, options: Options = {}): z.ZodType<boolean, string> {
  return z
    .string()
    .regex(/^(true|false)$/i)
    .transform((value) => value.toLowerCase() === 'true')
    .register(FACTS, facts(en, zh, options))
}

/** A UTC time to the minute or the second: the vendor's operations differ, so both are taken. */
export function moment(en: string, zh: string, options: Options = {}): z.ZodType<Instant, string> {
  return z
    .string()
    .transform((value, context) => {
      const at = parseIso(value)
      if (at === null) context.addIssue('not a time')
      return at ?? z.NEVER
    })
    .register(FACTS, facts(en, zh, options))
}

/** The facts of a parameter, also under `.optional()` and `.default()`. */
export function parameterFacts(schema: z.core.$ZodType): ParameterFacts | null {
  const own = FACTS.get(schema)
  if (own !== undefined) return own
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) {
    return parameterFacts(schema.unwrap())
  }
  return null
}

/** Makes the error of a code that a parameter declares; `detail` follows the vendor's sentence. */
type Refuse = (code: ErrorCode, detail?: string) => ApiError

/**
 * Reads the parameters that `schema` names, exactly so spelt; others are ignored, since every client
 * sends some that no operation declares. All mandatory ones are looked for before any is judged.
 * `refuse` makes the error of a code that a parameter declares.
 */
export function readParameters<P extends z.ZodObject>(
  schema: P,
  raw: RawParameters,
  refuse: Refuse,
): z.output<P> {
  const fields = Object.entries<z.ZodType>(schema.shape)
  const given = new Map([...raw].filter(([, value]) => value !== ''))
  for (const [name, field] of fields) {
    if (!given.has(name) && !field.safeParse(undefined).success) throw missingParameter(name)
  }
  const parameters: Record<string, unknown> = {}
  for (const [name, field] of fields) {
    const result = field.safeParse(given.get(name))
    if (!result.success) {
      throw refusalOf(name, parameterFacts(field), refuse)
    }
    if (result.data !== undefined) parameters[name] = result.data
  }
  return parameters as z.output<P>
}

/** The general code says nothing by itself, so it names the parameter and what it may be. */
function refusalOf(name: string, facts: ParameterFacts | null, refuse: Refuse): ApiError {
  const code = facts?.error ?? null
  if (code === null) return invalidParameter(name)
  return refuse(code, code === 'InvalidParameter' ? `${name}: ${facts?.description.en}` : undefined)
}

/**
 * The IDs of a list parameter: split at commas, blanks trimmed, empty ones dropped, each once, in the
 * order given, compared as text. An exact `<instanceId>:` before an ID is removed: the Terraform
 * provider sends the ID of its own state there.
 */
export function splitIds(list: string, instanceId: string): readonly string[] {
  const prefix = `${instanceId}:`
  const ids = list
    .split(',')
    .map((piece) => piece.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, ''))
    .map((id) => (id.startsWith(prefix) ? id.slice(prefix.length) : id))
    .filter((id) => id !== '')
  return [...new Set(ids)]
}

function facts(en: string, zh: string, options: Options): ParameterFacts {
  return {
    description: { en, zh },
    error: options.error ?? null,
    secret: options.secret ?? false,
  }
}
