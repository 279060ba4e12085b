import { z } from 'zod'
import type { Instant } from '../base/clock.ts'
import type { Page, SetPage } from '../catalogue/backup-sets.ts'
import { moment, splitIds, text, wholeNumber } from '../wire/parameters.ts'

/** From when to when a list is wanted. */
export const TIME_PARAMETERS = {
  StartTime: moment('From this time on.', '查询开始时间。', {
    error: 'InvalidStartTime.Format',
  }).optional(),
  EndTime: moment('Until this time.', '查询结束时间。', {
    error: 'InvalidEndTime.Format',
  }).optional(),
}

export const TIME_ERRORS = {
  'InvalidStartTime.Format': {},
  'InvalidEndTime.Format': {},
  InvalidParameterCombination: {},
} as const

/** The range that is asked for; one that is empty or ends before it begins is refused. */
export function rangeOf(
  {
    StartTime,
    EndTime,
  }: { readonly StartTime?: Instant | undefined; readonly EndTime?: Instant | undefined },
  refuse: (code: 'InvalidParameterCombination', detail: string) => Error,
): { readonly from: Instant | null; readonly to: Instant | null } {
  const [from, to] = [StartTime ?? null, EndTime ?? null]
  if (from !== null && to !== null && to <= from) {
    throw refuse('InvalidParameterCombination', 'EndTime: not after StartTime')
  }
  return { from, to }
}

/** Which sets of a list are wanted. */
export const SETS_PARAMETER = {
  BackupId: text('Only these sets, separated by commas.', '备份集 ID。').optional(),
}

/** The IDs in it, as they were written; null: all sets. */
export function setsAsked(
  { BackupId }: { readonly BackupId?: string | undefined },
  instanceId: string,
): readonly string[] | null {
  return BackupId === undefined ? null : splitIds(BackupId, instanceId)
}

/** Which page of a list, and how many entries on it. */
export function pageParameters(min: number, max: number) {
  return {
    PageNumber: wholeNumber('The page, from 1.', '页码。', {
      min: 1,
      max: 2 ** 31 - 1,
      error: 'InvalidPageNumbers.Malformed',
    }).optional(),
    PageSize: wholeNumber('Entries on a page.', '每页记录数。', {
      min,
      max,
      error: 'InvalidMaxRecordsPerPage.Malformed',
    }).optional(),
  }
}

export const PAGE_ERRORS = {
  'InvalidPageNumbers.Malformed': {},
  'InvalidMaxRecordsPerPage.Malformed': {},
} as const

const PAGE_SETS_MIN = 30

/** Parameters that lists of sets have in common; `sizeMax` is the largest page of the operation. */
export function setListParameters(sizeMax: number) {
  return { ...TIME_PARAMETERS, ...pageParameters(PAGE_SETS_MIN, sizeMax) }
}

/** The codes of those parameters, for the operation's `errors`. */
export const SET_LIST_ERRORS = { ...PAGE_ERRORS, ...TIME_ERRORS } as const

interface AskedPage {
  readonly PageNumber?: number | undefined
  readonly PageSize?: number | undefined
}

export function pageOf({ PageNumber = 1, PageSize = 30 }: AskedPage): Page {
  return { offset: (PageNumber - 1) * PageSize, limit: PageSize }
}

export const NO_SETS: SetPage = { sets: [], total: 0 }

/** What the reply says of the page; text, as the vendor has it. */
export const PageFields = {
  PageNumber: z.string(),
  PageRecordCount: z.string(),
  TotalRecordCount: z.string(),
}

export function pageFields(
  { PageNumber = 1 }: AskedPage,
  { sets, total }: { readonly sets: readonly unknown[]; readonly total: number },
) {
  return {
    PageNumber: String(PageNumber),
    PageRecordCount: String(sets.length),
    TotalRecordCount: String(total),
  }
}
