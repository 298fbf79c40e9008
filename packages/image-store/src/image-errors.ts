import { CodedError } from '@mvm/protocol';

/** `not_found`, reason `image.not_found`. */
export function imageNotFound(name: string): CodedError {
  return new CodedError({
    code: 'not_found',
    reason: 'image.not_found',
    message: `image ${name} is not registered on this host`,
    details: { image: name },
    hint: `mvm image list shows what there is; to make one out of an OCI image: sudo mvm image import <source> --name ${name}`,
  });
}

/** `failed_precondition`, reason `image.damaged`. */
export function damaged(name: string, problem: string): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'image.damaged',
    message: `image ${name} is damaged: ${problem}`,
    details: { image: name, problem },
    hint: 'add it again from its files, which repairs it: mvm image add',
  });
}
