/** One field that differs, with its values as JSON; undefined where there is none. */
export interface FieldChange {
  readonly object: string;
  readonly field: string;
  readonly from: string | undefined;
  readonly to: string | undefined;
}

const ID_FIELDS = ['tenant_id', 'pool_id'] as const;

/**
 * Where two desired states differ, field by field, in the order of the fields; tenants and pools are compared by their
 * ids, whatever their order. An object that is only in one of them is one change with the field `(all)`. Pure.
 */
export function diffDesired(before: unknown, after: unknown): FieldChange[] {
  return diff('host', '', before, after);
}

function diff(object: string, field: string, before: unknown, after: unknown): FieldChange[] {
  if (isNamedList(before) || isNamedList(after)) return diffLists(object, before, after);
  if (isRecord(before) && isRecord(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return keys.flatMap((key) =>
      diff(object, field === '' ? key : `${field}.${key}`, before[key], after[key]),
    );
  }
  const [from, to] = [JSON.stringify(before), JSON.stringify(after)];
  return from === to ? [] : [{ object, field, from, to }];
}

function diffLists(object: string, before: unknown, after: unknown): FieldChange[] {
  const [was, is] = [byId(before), byId(after)];
  return [...new Set([...was.keys(), ...is.keys()])].flatMap((id): FieldChange[] => {
    const name = object === 'host' ? id : `${object}/${id}`;
    const [from, to] = [was.get(id), is.get(id)];
    if (from === undefined) return [{ object: name, field: '(all)', from: undefined, to: 'new' }];
    if (to === undefined) return [{ object: name, field: '(all)', from: 'there', to: undefined }];
    return diff(name, '', from, to);
  });
}

function byId(list: unknown): Map<string, Record<string, unknown>> {
  const entries = Array.isArray(list) ? list.filter(isRecord) : [];
  return new Map(
    entries.flatMap((entry) => (idOf(entry) === undefined ? [] : [[String(idOf(entry)), entry]])),
  );
}

function idOf(entry: Record<string, unknown>): unknown {
  return entry[ID_FIELDS[1]] ?? entry[ID_FIELDS[0]];
}

function isNamedList(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((each) => isRecord(each) && idOf(each) !== undefined)
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
