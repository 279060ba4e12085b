import { moment, wholeNumber } from '../wire/parameters.ts'

/** Parameters that lists of sets have in common; `sizeMax` is the largest page of the operation. */
export function setListParameters(sizeMax: number) {
  return {
    StartTime: moment('From this time on.', '查询开始时间。', {
      error: 'InvalidStartTime.Format',
    }).optional(),
    EndTime: moment('Until this time.', '查询结束时间。', {
      error: 'InvalidEndTime.Format',
    }).optional(),
    PageNumber: wholeNumber('The page, from 1.', '页码。', {
      min: 1,
      max: 2 ** 31 - 1,
      error: 'InvalidPageNumbers.Malformed',
    }).optional(),
    PageSize: wholeNumber('Sets on a page.', '每页记录数。', {
      min: 30,
      max: sizeMax,
      error: 'InvalidMaxRecordsPerPage.Malformed',
    }).optional(),
  }
}

/** The codes of those parameters, for the operation's `errors`. */
export const SET_LIST_ERRORS = {
  'InvalidPageNumbers.Malformed': {},
  'InvalidMaxRecordsPerPage.Malformed': {},
  'InvalidStartTime.Format': {},
  'InvalidEndTime.Format': {},
} as const
