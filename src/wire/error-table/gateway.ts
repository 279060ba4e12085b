import { wireError } from '../error-text.ts'

/** What is refused before an operation runs, and what any operation may end in. */
export const GATEWAY_ERRORS = {
  'InvalidAction.NotFound': wireError(
    404,
    'Specified api is not found, please check your url and method.',
    ['No operation has this name.', '没有该名称的操作。'],
    ['Check the spelling of Action.', '请检查 Action 的拼写。'],
  ),
  InvalidVersion: wireError(
    400,
    'Specified parameter Version is not valid.',
    ['The version of the API is not 2014-08-15.', 'API 版本不是 2014-08-15。'],
    ['Send Version=2014-08-15.', '请使用 Version=2014-08-15。'],
  ),
  'InvalidParameter.Format': wireError(
    400,
    'Specified parameter format is not valid.',
    ['Format is neither JSON nor XML.', 'Format 既不是 JSON 也不是 XML。'],
    ['Send Format=JSON or Format=XML.', '请使用 Format=JSON 或 Format=XML。'],
  ),
  'InvalidAccessKeyId.NotFound': wireError(
    404,
    'Specified access key is not found.',
    ['The service does not know this AccessKey ID.', '服务不认识该 AccessKey ID。'],
    ['Use a key of this service.', '请使用本服务的 AccessKey。'],
  ),
  SignatureDoesNotMatch: wireError(
    400,
    'Specified signature is not matched with our calculation. server string to sign is:',
    [
      'The signature was made with another secret, or of another request.',
      '签名使用了其他密钥，或与请求内容不一致。',
    ],
    [
      'Compare your string to sign with the one in the message; if they are equal, check the secret.',
      '请将待签名字符串与消息中的对比；若相同，请检查 AccessKey Secret。',
    ],
  ),
  IncompleteSignature: wireError(
    400,
    'The request signature does not conform to Aliyun standards. server string to sign is:',
    ['The signature has not the form that its method makes.', '签名的格式不符合签名方法的要求。'],
    ['Sign with an official SDK or compare with its requests.', '请使用官方 SDK 签名。'],
  ),
  InvalidSignatureMethod: wireError(
    400,
    'Specified signature method is not valid.',
    [
      'Only HMAC-SHA1 in parameters and ACS3-HMAC-SHA256 in headers are accepted.',
      '仅支持 HMAC-SHA1（参数）与 ACS3-HMAC-SHA256（请求头）。',
    ],
    ['Choose one of the two methods.', '请选择上述签名方法之一。'],
  ),
  'InvalidTimeStamp.Expired': wireError(
    400,
    'Specified time stamp or date value is expired.',
    [
      'The time of the request differs by more than 15 minutes from the time of the service.',
      '请求时间与服务器时间相差超过 15 分钟。',
    ],
    ['Set the clocks of both machines.', '请校准双方的系统时间。'],
  ),
  'InvalidTimeStamp.Format': wireError(
    400,
    'Specified time stamp or date value is not well formatted.',
    ['The time is not of the form yyyy-MM-ddTHH:mm:ssZ.', '时间格式不是 yyyy-MM-ddTHH:mm:ssZ。'],
    ['Send the time in UTC in that form.', '请使用该格式的 UTC 时间。'],
  ),
  SignatureNonceUsed: wireError(
    400,
    'Specified signature nonce was used already.',
    ['The same request arrived before.', '相同的请求已经到达过。'],
    ['Sign every request anew, with a new nonce.', '每次请求都应使用新的随机数重新签名。'],
  ),
  UnsupportedHTTPMethod: wireError(
    400,
    'This http method not supported.',
    ['The API is called by GET or POST.', 'API 仅支持 GET 与 POST。'],
    ['Use GET or POST.', '请使用 GET 或 POST。'],
  ),
  IdempotentParameterMismatch: wireError(
    400,
    'Request uses a client token in a previous request but is not identical to that request.',
    ['ClientToken was used with other parameters.', 'ClientToken 已用于参数不同的请求。'],
    ['Use a new token for a new request.', '新的请求请使用新的 ClientToken。'],
  ),
  InternalError: wireError(
    500,
    'The request processing has failed due to some unknown error, exception or failure.',
    ['The service failed; its log has the details.', '服务内部错误，详情见服务日志。'],
    ['Repeat later; give the RequestId to the operator.', '请稍后重试，并向管理员提供 RequestId。'],
  ),
  ServiceUnavailable: wireError(
    503,
    'The request has failed due to a temporary failure of the server.',
    ['The service is stopping or overloaded.', '服务正在停止或过载。'],
    ['Repeat later with a new signature.', '请稍后重新签名再试。'],
  ),
  UnsupportedOperation: wireError(
    400,
    'The specified action is not supported.',
    ['This service cannot do what was asked.', '本服务不支持所请求的功能。'],
    ['See the documentation for what is supported.', '请参考文档了解支持的功能。'],
  ),
  'InvalidParameters.Format': wireError(
    400,
    'Specified parameter is not valid',
    ['A parameter has a value that cannot be used.', '某个参数的值不可用。'],
    ['Correct the parameter that the message names.', '请更正消息中指出的参数。'],
  ),
  InvalidParameter: wireError(
    400,
    // "Reuquest" is the vendor's own spelling.
    'Some Reuquest Parameters Is Invalid. Check or Try It Again Later.',
    ['A parameter has a value that cannot be used.', '某个参数的值不可用。'],
    ['Correct the parameter that the message names.', '请更正消息中指出的参数。'],
  ),
}
