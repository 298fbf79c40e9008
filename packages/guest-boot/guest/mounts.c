#define _GNU_SOURCE
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#define HARDENED (MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* Where things of the host are in the guest. */
#define CONFIG_DIR "/run/mvm/config"
#define SECRETS_DIR "/run/secrets"
#define SECRETS_DRIVE "/run/mvm/secrets-drive"
#define DATA_DIR "/run/mvm/data"

void mount_kernel_file_systems(void) {
  mount("dev", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");
  mount("proc", "/proc", "proc", HARDENED, NULL);
  mount("sysfs", "/sys", "sysfs", HARDENED, NULL);
}

/* The names stand in the order in which they must be loaded. */
void load_modules(void) {
  static char order[16384];
  char path[512];
  if (read_file("/modules/order", order, sizeof order) < 0) return;
  for (char *name = strtok(order, "\n"); name; name = strtok(NULL, "\n")) {
    snprintf(path, sizeof path, "/modules/%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST)) say("cannot load %s: %s", name, strerror(errno));
    if (fd >= 0) close(fd);
    unlink(path);
  }
}

/* A VMM that gives drives no serial number of the host's says their names in order: mvm.drives=rootfs,config. */
static int find_drive_by_order(const char *name, char *path, size_t size) {
  char names[256];
  if (boot_option("mvm.drives", names, sizeof names)) return -1;
  char letter = 'a';
  for (char *at = strtok(names, ","); at; at = strtok(NULL, ","), letter++) {
    if (strcmp(at, name)) continue;
    snprintf(path, size, "/dev/vd%c", letter);
    return access(path, F_OK);
  }
  return -1;
}

/* Drives are named in the order of their discovery, which may differ; their serial numbers do not. */
int find_drive(const char *serial, char *path, size_t size) {
  char file[512], found[64];
  DIR *dir = opendir("/sys/block");
  if (!dir) return -1;
  int result = -1;
  for (struct dirent *entry; result && (entry = readdir(dir));) {
    snprintf(file, sizeof file, "/sys/block/%s/serial", entry->d_name);
    if (read_file(file, found, sizeof found) < 0 || strcmp(found, serial)) continue;
    snprintf(path, size, "/dev/%s", entry->d_name);
    result = 0;
  }
  closedir(dir);
  return result ? find_drive_by_order(serial, path, size) : 0;
}

static struct timespec root_time;

/* The root of an overlay shows what its upper directory is: so that becomes what the image's root is. */
static void copy_root_attributes(const char *from, const char *to) {
  struct stat info;
  char names[4096];
  static char value[65536];
  if (stat(from, &info)) return;
  ssize_t length = listxattr(from, names, sizeof names);
  for (char *name = names; length > 0 && name < names + length; name += strlen(name) + 1) {
    ssize_t size = getxattr(from, name, value, sizeof value);
    if (size >= 0) setxattr(to, name, value, size, 0);
  }
  if (chown(to, info.st_uid, info.st_gid) || chmod(to, info.st_mode & 07777)) return;
  root_time = info.st_mtim;
}

/* Mount points that the image lacked were made in its root; its time shall not tell of them. */
void restore_root_time(void) {
  struct timespec times[2] = {root_time, root_time};
  utimensat(AT_FDCWD, "/", times, 0);
}

/* Mounts the image with a layer of memory over it, and makes that the root. */
int enter_root(void) {
  char drive[64];
  for (int64_t start = now_ms(); find_drive("rootfs", drive, sizeof drive);) {
    if (now_ms() - start > 5000) {
      say("no root file system (a virtio drive with serial \"rootfs\")");
      return -1;
    }
    usleep(10000);
  }
  const char *dirs[] = {"/lower", "/rw", "/newroot"};
  for (int i = 0; i < 3; i++) mkdir(dirs[i], 0755);
  if (mount(drive, "/lower", "erofs", MS_RDONLY, NULL) || mount("root", "/rw", "tmpfs", 0, "mode=0755")) {
    say("cannot mount the root file system: %s", strerror(errno));
    return -1;
  }
  mkdir("/rw/upper", 0755);
  mkdir("/rw/work", 0755);
  copy_root_attributes("/lower", "/rw/upper");
  if (mount("root", "/newroot", "overlay", 0, "lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work,redirect_dir=on")) {
    say("cannot lay memory over the root file system: %s", strerror(errno));
    return -1;
  }
  const char *moved[] = {"/dev", "/proc", "/sys"};
  for (int i = 0; i < 3; i++) {
    char target[64];
    snprintf(target, sizeof target, "/newroot%s", moved[i]);
    mkdir(target, 0755);
    if (mount(moved[i], target, NULL, MS_MOVE, NULL)) say("cannot move %s: %s", moved[i], strerror(errno));
  }
  unlink("/init");
  unlink("/run.conf");
  unlink("/modules/order");
  if (chdir("/newroot") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/")) return -1;
  return 0;
}

static void mount_at(const char *what, const char *where, const char *type, unsigned long flags, const char *options) {
  make_dirs(where, 0755);
  if (mount(what, where, type, flags, options)) say("cannot mount %s: %s", where, strerror(errno));
}

/* An init system expects it, and would hide what we put there if it had to mount it itself. */
void mount_run(void) { mount_at("run", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755"); }

void mount_in_root(void) {
  mount_at("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666");
  mount_at("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
  mount_at("cgroup2", "/sys/fs/cgroup", "cgroup2", HARDENED, NULL);
  const char *links[][2] = {{"/proc/self/fd", "/dev/fd"},
                            {"/proc/self/fd/0", "/dev/stdin"},
                            {"/proc/self/fd/1", "/dev/stdout"},
                            {"/proc/self/fd/2", "/dev/stderr"}};
  for (int i = 0; i < 4; i++)
    if (symlink(links[i][0], links[i][1])) continue;
  make_dirs(run.cwd, 0755);
  if (run.hands_over) mount_run();
}

static int is_mounted(const char *where) {
  struct stat here, above;
  char parent[256];
  snprintf(parent, sizeof parent, "%s/..", where);
  return stat(where, &here) == 0 && stat(parent, &above) == 0 && here.st_dev != above.st_dev;
}

/* Mounts the drive again: after a wake it is another one. */
int read_config_drive(void) {
  char drive[64];
  if (find_drive("config", drive, sizeof drive)) return -1;
  make_dirs(CONFIG_DIR, 0755);
  umount2(CONFIG_DIR, MNT_DETACH);
  return mount(drive, CONFIG_DIR, "ext4", MS_RDONLY | HARDENED, NULL);
}

static int copy_secret(const char *name) {
  char from[512], part[512], to[512];
  static char value[65536];
  snprintf(from, sizeof from, SECRETS_DRIVE "/%s", name);
  snprintf(part, sizeof part, SECRETS_DIR "/.new");
  snprintf(to, sizeof to, SECRETS_DIR "/%s", name);
  struct stat info;
  if (lstat(from, &info) || !S_ISREG(info.st_mode)) return 0;
  int in = open(from, O_RDONLY | O_CLOEXEC), out = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0400);
  int failed = in < 0 || out < 0;
  for (ssize_t n; !failed && (n = read(in, value, sizeof value)) != 0;) failed = n < 0 || write(out, value, n) != n;
  if (in >= 0) close(in);
  if (out >= 0) close(out);
  memset(value, 0, sizeof value);
  return failed || chown(part, run.uid, run.gid) || rename(part, to) ? -1 : 0;
}

/* Copies the secrets into memory and lets go of their drive. Files are replaced whole; those that are gone are removed. */
int read_secrets_drive(void) {
  char drive[64], path[512];
  if (find_drive("secrets", drive, sizeof drive)) return 0;
  make_dirs(SECRETS_DIR, 0700);
  if (!is_mounted(SECRETS_DIR)) mount_at("secrets", SECRETS_DIR, "tmpfs", HARDENED, "mode=0700,size=8m");
  if (chown(SECRETS_DIR, run.uid, run.gid)) return -1;
  make_dirs(SECRETS_DRIVE, 0700);
  umount2(SECRETS_DRIVE, MNT_DETACH);
  if (mount(drive, SECRETS_DRIVE, "ext4", MS_RDONLY | HARDENED, NULL)) return -1;
  int failed = 0;
  DIR *dir = opendir(SECRETS_DRIVE);
  for (struct dirent *entry; dir && (entry = readdir(dir));) failed |= copy_secret(entry->d_name);
  if (dir) closedir(dir);
  dir = opendir(SECRETS_DIR);
  for (struct dirent *entry; dir && (entry = readdir(dir));) {
    struct stat info;
    snprintf(path, sizeof path, SECRETS_DRIVE "/%s", entry->d_name);
    if (entry->d_name[0] == '.' || lstat(path, &info) == 0) continue;
    snprintf(path, sizeof path, SECRETS_DIR "/%s", entry->d_name);
    unlink(path);
  }
  if (dir) closedir(dir);
  return umount(SECRETS_DRIVE) || failed ? -1 : 0;
}

/* A volume keeps what the image has in its place, the first time. */
static void mount_volume(const char *path) {
  char place[4096];
  struct stat info;
  int used = snprintf(place, sizeof place, DATA_DIR "/volumes/");
  for (const char *at = path + 1; *at && used < 4000; at++)
    used += snprintf(place + used, sizeof place - used, *at == '/' || *at == '%' ? "%%%02x" : "%c", *at);
  make_dirs(path, 0755);
  make_dirs(DATA_DIR "/volumes", 0755);
  if (lstat(place, &info)) {
    char fresh[4200];
    snprintf(fresh, sizeof fresh, "%s.new", place);
    if (mkdir(fresh, 0755) == 0 && stat(path, &info) == 0) {
      if (copy_tree(path, fresh)) say("cannot copy all of %s into its volume", path);
      if (chown(fresh, info.st_uid, info.st_gid) == 0) chmod(fresh, info.st_mode & 07777);
      sync();
      rename(fresh, place);
    }
  }
  if (mount(place, path, NULL, MS_BIND, NULL)) say("cannot mount the volume %s: %s", path, strerror(errno));
}

/* The data disk: at the image's volumes, or at /data when it names none. */
void mount_data(void) {
  char drive[64];
  if (find_drive("data", drive, sizeof drive)) return;
  const char *where = run.volume_count > 0 ? DATA_DIR : "/data";
  make_dirs(where, 0755);
  if (mount(drive, where, "ext4", MS_NOSUID | MS_NODEV, NULL)) {
    say("cannot mount the data disk: %s", strerror(errno));
    return;
  }
  if (run.volume_count == 0 && run.uid != 0) {
    // A disk that is new belongs to root; the program must be able to use it.
    struct stat info;
    if (stat(where, &info) == 0 && info.st_uid == 0 && chown(where, run.uid, run.gid)) say("cannot hand over /data");
  }
  for (int i = 0; i < run.volume_count; i++) mount_volume(run.volumes[i]);
}

void unmount_data(void) {
  sync();
  for (int i = 0; i < run.volume_count; i++) umount2(run.volumes[i], MNT_DETACH);
  const char *where = run.volume_count > 0 ? DATA_DIR : "/data";
  if (umount(where)) mount(NULL, where, NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL);
}
