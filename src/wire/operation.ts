import type { z } from 'zod'
import type { Instant } from '../base/clock.ts'
import { invariant } from '../base/fault.ts'
import type { RequestId } from '../base/ids.ts'
import type { Text } from './error-text.ts'
import { type ApiError, apiError, type DeclaredErrors, type ErrorCode } from './errors.ts'
import { parameterFacts, type RawParameters, readParameters } from './parameters.ts'

/** Who asks, as the signature proved it. */
interface Caller {
  readonly accessKeyId: string
  readonly user: string
  /** The address at the other end of the connection. */
  readonly address: string
}

/** A permission beyond that of an action itself. */
export interface Permission {
  readonly permission: string
  /** Which calls need it; for people. */
  readonly when: string
  readonly grant: 'by-name'
}

interface Description<P extends z.ZodObject, R extends z.ZodObject, E> {
  readonly action: string
  readonly summary: Text
  readonly access: 'read' | 'write' | 'delete'
  readonly resource: 'instance' | 'account' | 'none'
  /** Whether the vendor has this operation or only this service. */
  readonly origin: 'vendor' | 'holdfast'
  /** `by-name`: no wildcard grants it, a permission must name the action. */
  readonly grant?: 'by-name'
  /** What a call needs besides, when it does more than others. */
  readonly alsoNeeds?: readonly Permission[]
  readonly parameters: P
  /** The reply without its RequestId. What is not declared here is never sent. */
  readonly response: R
  readonly errors: E
}

/** What an operation is asked, and by whom. */
export interface Request<Parameters, Code> {
  readonly parameters: Parameters
  /** All that arrived, for an operation that refuses what it does not declare. */
  readonly raw: RawParameters
  readonly caller: Caller
  readonly requestId: RequestId
  /** Service time. */
  readonly now: Instant
  /** `throw refuse(code, detail)`: only codes that the operation declares compile. */
  refuse(code: Code, detail?: string): ApiError
}

export interface Context {
  readonly raw: RawParameters
  readonly caller: Caller
  readonly requestId: RequestId
  readonly now: Instant
}

/** An operation as the server runs it, whatever its parameters and reply are. */
export interface Operation<Needs> {
  readonly description: Description<z.ZodObject, z.ZodObject, DeclaredErrors>
  /** Reads the parameters, runs, and gives the reply as its schema declares it; throws `ApiError`. */
  readonly answer: (context: Context, needs: Needs) => Promise<Readonly<Record<string, unknown>>>
}

export function defineOperation<
  P extends z.ZodObject,
  R extends z.ZodObject,
  const E extends DeclaredErrors,
  Needs,
>(
  description: Description<P, R, E>,
  run: (request: Request<z.output<P>, keyof E & ErrorCode>, needs: Needs) => Promise<z.input<R>>,
): Operation<Needs> {
  const declared: DeclaredErrors = description.errors
  checkParameterCodes(description.action, description.parameters, declared)
  const refuse = (code: ErrorCode, detail?: string): ApiError =>
    apiError(code, {
      ...(detail === undefined ? {} : { detail }),
      override: declared[code] ?? {},
    })
  return {
    description,
    answer: async (context, needs) => {
      const parameters = readParameters(description.parameters, context.raw, refuse)
      const reply = await run({ ...context, parameters, refuse }, needs)
      return description.response.parse(reply)
    },
  }
}

function checkParameterCodes(
  action: string,
  parameters: z.ZodObject,
  errors: DeclaredErrors,
): void {
  for (const [name, field] of Object.entries(parameters.shape)) {
    const code = parameterFacts(field)?.error ?? null
    invariant(code === null || code in errors, `${action} declares the code of ${name}: ${code}`)
  }
}
