import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OPERATIONS } from './all.ts'

test('P4: no wildcard grants a purge, the release of a hold, a weaker protection or attaching', () => {
  const byName = OPERATIONS.filter(({ description }) => description.grant === 'by-name')
  assert.deepEqual(byName.map(({ description }) => description.action).sort(), [
    'AttachDBInstance',
    'PurgeDeletedBackup',
    'ReleaseBackupHold',
  ])
  const also = OPERATIONS.flatMap(({ description }) =>
    (description.alsoNeeds ?? []).map((need) => [description.action, need.permission, need.grant]),
  )
  assert.deepEqual(also, [
    ['ModifyBackupPolicy', 'WeakenBackupProtection', 'by-name'],
    ['ModifyDBInstanceDeletionProtection', 'WeakenBackupProtection', 'by-name'],
  ])
})

test('every action is there once', () => {
  const actions = OPERATIONS.map(({ description }) => description.action)
  assert.deepEqual(actions, [...new Set(actions)])
})
