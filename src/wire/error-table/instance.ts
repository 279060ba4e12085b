import { wireError } from '../error-text.ts'

/** What is refused because of the instance that a request names, or would create. */
export const INSTANCE_ERRORS = {
  'InvalidDBInstanceName.NotFound': wireError(
    404,
    'Invalid DBInstanceId NotFound.',
    ['No instance has this ID.', '没有该 ID 的实例。'],
    ['List the instances with DescribeDBInstances.', '请通过 DescribeDBInstances 查询实例。'],
  ),
  'InvalidDBInstanceId.NotFound': wireError(
    400,
    'The DBInstanceId provided does not exist in records.',
    ['No instance has this ID.', '没有该 ID 的实例。'],
    ['List the instances with DescribeDBInstances.', '请通过 DescribeDBInstances 查询实例。'],
  ),
  'InvalidRegion.NotFound': wireError(
    404,
    'Specified Region does not exist in the RDS',
    ['This service is another region.', '本服务不属于该地域。'],
    ['Take the region from DescribeRegions.', '请通过 DescribeRegions 查询地域。'],
  ),
  ReadDBInstanceNotSupport: wireError(
    400,
    'The operation is not permitted due to type of the instance.',
    ['The instance is read-only; it has no backups of its own.', '只读实例没有自己的备份。'],
    ['Name the primary instance.', '请指定主实例。'],
  ),
  IncorrectDBInstanceState: wireError(
    403,
    'Current DB instance state does not support this operation.',
    ['The instance is not Running.', '实例不处于运行中状态。'],
    ['Wait until DBInstanceStatus is Running.', '请等待 DBInstanceStatus 变为 Running。'],
  ),
  IncorrectDBInstanceType: wireError(
    403,
    'Current DB instance engine and type does not support operations.',
    ['The engine or category cannot do this.', '实例的引擎或系列不支持该操作。'],
    ['Use a High-availability instance.', '请使用高可用系列实例。'],
  ),
  IncorrectDBInstanceLockMode: wireError(
    403,
    'Current DB instance lock mode does not support this operation.',
    ['The instance is locked.', '实例已被锁定。'],
    ['Unlock the instance first.', '请先解锁实例。'],
  ),
  'IncorrectDBInstanceLockMode.ValueNotSupported': wireError(
    400,
    'The Current DB instance lock mode does not support this operation.',
    ['The instance is locked.', '实例已被锁定。'],
    ['Unlock the instance first.', '请先解锁实例。'],
  ),
  'InvalidEngine.Malformed': wireError(
    400,
    'Specified engine is not valid.',
    ['The engine is not one that this service runs.', '本服务不支持该引擎。'],
    ['Use an engine that DescribeDBInstances shows.', '请使用受支持的引擎。'],
  ),
  'InvalidEngineVersion.Malformed': wireError(
    400,
    'The specified parameter EngineVersion is not valid.',
    ['The version is not one that this service runs.', '本服务不支持该版本。'],
    ['Use a supported version.', '请使用受支持的版本。'],
  ),
  'InvalidDBInstanceId.Duplicate': wireError(
    400,
    'Specified DB instance ID is in use.',
    ['Another instance has this ID, or had it.', '该实例 ID 已被使用。'],
    ['Choose another ID, or leave it out.', '请使用其他 ID。'],
  ),
  'OperationDenied.DeletionProtection': wireError(
    400,
    'The operation is not permitted when the instance enabled deletion protection.',
    ['The instance is protected from deletion.', '实例已开启释放保护。'],
    [
      'Switch it off with ModifyDBInstanceDeletionProtection.',
      '请通过 ModifyDBInstanceDeletionProtection 关闭。',
    ],
  ),
  ChildDBInstanceExists: wireError(
    403,
    'Current DB instance has child DB instance.',
    ['Read-only or disaster recovery instances follow it.', '存在只读或灾备实例。'],
    ['Delete those instances first.', '请先释放这些实例。'],
  ),
  InvalidCategory: wireError(
    400,
    'Specified parameter Category is not valid.',
    ['The category is neither Basic nor HighAvailability.', '系列不是 Basic 或 HighAvailability。'],
    ['Use HighAvailability or Basic.', '请使用 HighAvailability 或 Basic。'],
  ),
}
