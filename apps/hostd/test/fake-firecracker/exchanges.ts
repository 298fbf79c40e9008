import type { ApiRequest } from '../../src/vmm/firecracker/api.js';

/** A request and the status that Firecracker 1.12.1 answers it with. What is in its texts differs between versions. */
export interface Exchange {
  readonly request: ApiRequest;
  readonly status: 200 | 204 | 400;
}

type Body = Readonly<Record<string, unknown>>;

const get = (path: string, status: 200 | 400): Exchange => ({ request: { method: 'GET', path }, status });
const put = (path: string, body: Body, status: 204 | 400): Exchange => ({
  request: { method: 'PUT', path, body },
  status,
});
const patch = (path: string, body: Body, status: 204 | 400): Exchange => ({
  request: { method: 'PATCH', path, body },
  status,
});

/**
 * Before the guest is started, in this order, in a directory with the files `disk` and `kernel`. The fake is tested with
 * them, and the real one in the privileged tier, which needs no KVM for them.
 */
export const PRE_BOOT: readonly Exchange[] = [
  get('/', 200),
  get('/version', 200),
  get('/machine-config', 200),
  get('/nothing', 400),
  patch('/vm', { state: 'Paused' }, 400),
  patch('/vm', { state: 'Stopped' }, 400),
  put('/actions', { action_type: 'SendCtrlAltDel' }, 400),
  put('/actions', { action_type: 'InstanceStart' }, 400),
  put('/boot-source', { kernel_image_path: 'kernel', other: 1 }, 400),
  put('/boot-source', { kernel_image_path: 'absent' }, 400),
  put('/boot-source', { kernel_image_path: 'kernel', boot_args: 'quiet' }, 204),
  put('/machine-config', { vcpu_count: 33, mem_size_mib: 128 }, 400),
  put('/machine-config', { vcpu_count: 1, mem_size_mib: 0 }, 400),
  put('/machine-config', { vcpu_count: 1, mem_size_mib: 32, smt: false, track_dirty_pages: false }, 204),
  put('/drives/data', { drive_id: 'other', path_on_host: 'disk', is_root_device: false }, 400),
  put('/drives/a-b', { drive_id: 'a-b', path_on_host: 'disk', is_root_device: false }, 400),
  put('/drives/data', { drive_id: 'data', path_on_host: 'absent', is_root_device: false }, 400),
  put('/drives/data', { drive_id: 'data', path_on_host: 'disk', is_root_device: false }, 204),
  put('/vsock', { guest_cid: 3, uds_path: 'vsock.sock' }, 204),
  put('/entropy', {}, 204),
  put('/snapshot/create', { snapshot_path: 'vmstate', mem_file_path: 'memory' }, 400),
  get('/vm/config', 200),
];

/** While the guest runs; nothing of it changes anything. The fake is tested with them, and the real one in the tier kvm. */
export const RUNNING: readonly Exchange[] = [
  get('/', 200),
  get('/version', 200),
  get('/vm/config', 200),
  put('/actions', { action_type: 'InstanceStart' }, 400),
  put('/boot-source', { kernel_image_path: 'kernel' }, 400),
  put('/machine-config', { vcpu_count: 1, mem_size_mib: 64 }, 400),
  put('/vsock', { guest_cid: 3, uds_path: 'vsock.sock' }, 400),
  put('/entropy', {}, 400),
  // Of a running guest none is made.
  put('/snapshot/create', { snapshot_path: 'vmstate', mem_file_path: 'memory' }, 400),
  put(
    '/snapshot/load',
    { snapshot_path: 'vmstate', mem_backend: { backend_type: 'File', backend_path: 'memory' } },
    400,
  ),
  patch('/vm', { state: 'Stopped' }, 400),
  patch('/vm', { state: 'Resumed' }, 204),
];
