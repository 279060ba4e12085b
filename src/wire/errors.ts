import { BACKUP_ERRORS } from './error-table/backup.ts'
import { GATEWAY_ERRORS } from './error-table/gateway.ts'
import { INSTANCE_ERRORS } from './error-table/instance.ts'
import type { WireError } from './error-text.ts'

/**
 * Status and text by code, as the vendor's tables have them. Several codes differ between
 * operations: an operation overrides what is different in its own `errors`.
 */
export const ERRORS = { ...GATEWAY_ERRORS, ...INSTANCE_ERRORS, ...BACKUP_ERRORS }

export type ErrorCode = keyof typeof ERRORS

/** The codes of an operation, each with what differs from `ERRORS`. */
export type DeclaredErrors = { readonly [Code in ErrorCode]?: Partial<WireError> }

/** The only error a client sees: all of it is public. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly code: string
  readonly status: WireError['status']

  constructor(code: string, status: WireError['status'], message: string) {
    super(message)
    this.code = code
    this.status = status
  }
}

/** An error of the table; `detail` follows the vendor's sentence in brackets. */
export function apiError(
  code: ErrorCode,
  options: { detail?: string; override?: Partial<WireError> } = {},
): ApiError {
  const { status, message } = { ...ERRORS[code], ...options.override }
  const text = options.detail === undefined ? message : `${message} (${options.detail})`
  return new ApiError(code, status, text)
}

/** A mandatory parameter of an operation that is absent or empty. */
export function missingParameter(name: string): ApiError {
  return new ApiError(`Missing${name}`, 400, `${name} is mandatory for this action.`)
}

/** A parameter whose value cannot be used and for which no code of its own is declared. */
export function invalidParameter(name: string): ApiError {
  return new ApiError(`Invalid${name}`, 400, `Specified parameter ${name} is not valid.`)
}

/** A parameter that every request carries (`Timestamp`, `AccessKeyId` …) and this one does not. */
export function missingCommonParameter(name: string): ApiError {
  const sentence = `The input parameter "${name}" that is mandatory for processing this request`
  return new ApiError('MissingParameter', 400, `${sentence} is not supplied.`)
}

/** A request that cannot be read: `part` says which piece of it, `detail` what is wrong there. */
export function unreadableRequest(part: string, detail: string): ApiError {
  const message = `Specified parameter ${part} is not valid. (${detail})`
  return new ApiError('InvalidParameter', 400, message)
}

/** A refused signature. Clients split the message at the last colon: the string is its very end. */
export function signatureError(
  code: 'SignatureDoesNotMatch' | 'IncompleteSignature',
  stringToSign: string,
): ApiError {
  const { status, message } = ERRORS[code]
  return new ApiError(code, status, `${message}${stringToSign}`)
}
