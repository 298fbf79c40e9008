/*
 * Copies trees to and from the host, in a process of its own that may wait. Source: docs/guest-streams.md#trees.
 * An entry is a head of fixed size, its name, its link's target, and, for a file, its pieces.
 */
#define _GNU_SOURCE
#include "init.h"
#include "streams.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_SIZE 41
#define MAX_LINKS 4096

static unsigned char buffer[65536];

static void fail(const char *what, const char *of) {
  dprintf(2, "mvm: %s %s: %s\n", what, of, strerror(errno));
  _exit(1);
}

static void put(unsigned char *at, int bytes, uint64_t value) {
  for (int i = bytes; i-- > 0; value >>= 8) at[i] = value;
}

static uint64_t get(const unsigned char *at, int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; i++) value = value << 8 | at[i];
  return value;
}

static void write_all(const void *data, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t n = write(1, (const char *)data + done, size - done);
    if (n < 0 && errno != EINTR) fail("cannot write", "the stream");
    if (n > 0) done += n;
  }
}

static void read_all(void *data, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t n = read(0, (char *)data + done, size - done);
    if (n == 0) errno = EPIPE;
    if (n == 0 || (n < 0 && errno != EINTR)) fail("cannot read", "the stream");
    if (n > 0) done += n;
  }
}

static void send_head(char type, const struct stat *info, const char *name, const char *target) {
  unsigned char head[HEAD_SIZE];
  size_t name_size = strlen(name), target_size = strlen(target);
  head[0] = type;
  put(head + 1, 4, info->st_mode & 07777);
  put(head + 5, 4, info->st_uid);
  put(head + 9, 4, info->st_gid);
  put(head + 13, 8, info->st_mtim.tv_sec);
  put(head + 21, 4, info->st_mtim.tv_nsec);
  put(head + 25, 8, S_ISREG(info->st_mode) ? info->st_size : 0);
  put(head + 33, 4, name_size);
  put(head + 37, 4, target_size);
  write_all(head, sizeof head);
  write_all(name, name_size);
  write_all(target, target_size);
}

/* Only what a file has is sent: its holes stay holes. */
static void send_content(int fd, const char *path, off_t size) {
  unsigned char piece[12];
  for (off_t at = 0; at < size;) {
    off_t data = lseek(fd, at, SEEK_DATA);
    if (data < 0) {
      if (errno == ENXIO) break;
      data = at;
    }
    off_t hole = lseek(fd, data, SEEK_HOLE);
    if (hole < 0 || hole > size) hole = size;
    for (at = data; at < hole;) {
      size_t most = hole - at < (off_t)sizeof buffer ? hole - at : (off_t)sizeof buffer;
      ssize_t n = pread(fd, buffer, most, at);
      if (n < 0) fail("cannot read", path);
      if (n == 0) {
        size = at;
        break;
      }
      put(piece, 8, at);
      put(piece + 8, 4, n);
      write_all(piece, sizeof piece);
      write_all(buffer, n);
      at += n;
    }
  }
  memset(piece, 0, sizeof piece);
  write_all(piece, sizeof piece);
}

static struct { dev_t dev; ino_t ino; char *name; } links[MAX_LINKS];
static int link_count;

static const char *linked_to(const struct stat *info, const char *name) {
  if (info->st_nlink < 2 || S_ISDIR(info->st_mode)) return NULL;
  for (int i = 0; i < link_count; i++)
    if (links[i].dev == info->st_dev && links[i].ino == info->st_ino) return links[i].name;
  if (link_count < MAX_LINKS) {
    links[link_count].dev = info->st_dev;
    links[link_count].ino = info->st_ino;
    links[link_count++].name = strdup(name);
  }
  return NULL;
}

static void send_entry(int dir, const char *entry, const char *name) {
  char target[PATH_MAX];
  struct stat info;
  if (fstatat(dir, entry, &info, AT_SYMLINK_NOFOLLOW)) fail("cannot look at", name);
  const char *first = linked_to(&info, name);
  if (first) {
    send_head('h', &info, name, first);
  } else if (S_ISDIR(info.st_mode)) {
    int fd = openat(dir, entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list) fail("cannot open", name);
    send_head('d', &info, name, "");
    for (struct dirent *next; (next = readdir(list));) {
      char below[PATH_MAX];
      if (!strcmp(next->d_name, ".") || !strcmp(next->d_name, "..")) continue;
      errno = ENAMETOOLONG;
      if (snprintf(below, sizeof below, "%s/%s", name, next->d_name) >= (int)sizeof below) fail("cannot send", name);
      send_entry(fd, next->d_name, below);
    }
    closedir(list);
  } else if (S_ISLNK(info.st_mode)) {
    ssize_t length = readlinkat(dir, entry, target, sizeof target - 1);
    if (length < 0) fail("cannot read", name);
    target[length] = 0;
    send_head('l', &info, name, target);
  } else if (S_ISREG(info.st_mode)) {
    int fd = openat(dir, entry, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) fail("cannot open", name);
    send_head('f', &info, name, "");
    send_content(fd, name, info.st_size);
    close(fd);
  } else dprintf(2, "mvm: left out %s: neither file, directory nor link\n", name);
}

/* The tree's own name is its last part, so that the receiver knows how it is called. */
void send_tree(const char *path) {
  char name[PATH_MAX];
  if (strlen(path) >= sizeof name) _exit(1);
  strcpy(name, path);
  for (size_t length = strlen(name); length > 1 && name[length - 1] == '/';) name[--length] = 0;
  char *last = strrchr(name, '/');
  send_entry(AT_FDCWD, name, last[1] ? last + 1 : ".");
  send_head('e', &(struct stat){0}, "", "");
  _exit(0);
}

static void receive_content(int fd, const char *name, uint64_t size) {
  unsigned char piece[12];
  for (;;) {
    read_all(piece, sizeof piece);
    uint64_t at = get(piece, 8), left = get(piece + 8, 4);
    if (left == 0) break;
    while (left > 0) {
      size_t most = left < sizeof buffer ? left : sizeof buffer;
      read_all(buffer, most);
      if (pwrite(fd, buffer, most, at) != (ssize_t)most) fail("cannot write", name);
      at += most;
      left -= most;
    }
  }
  if (ftruncate(fd, size)) fail("cannot write", name);
}

/* Where an entry goes: below `path` under its name without the first part, which the receiver's path replaces. */
static void receive_entry(const char *path, const unsigned char *head, char *name, const char *target) {
  char place[PATH_MAX], first[PATH_MAX];
  struct stat there;
  mode_t mode = get(head + 1, 4) & 07777;
  uid_t uid = get(head + 5, 4);
  gid_t gid = get(head + 9, 4);
  struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = get(head + 13, 8), .tv_nsec = get(head + 21, 4)}};
  char *rest = strchr(name, '/');
  errno = ENAMETOOLONG;
  if (snprintf(place, sizeof place, "%s%s", path, rest ? rest : "") >= (int)sizeof place) fail("cannot make", name);
  int exists = lstat(place, &there) == 0;
  if (exists && !(head[0] == 'd' && S_ISDIR(there.st_mode)) && unlink(place)) fail("cannot replace", place);
  int made = -1;
  if (head[0] == 'd') made = exists && S_ISDIR(there.st_mode) ? 0 : mkdir(place, 0700);
  else if (head[0] == 'l') made = symlink(target, place);
  else if (head[0] == 'h') {
    const char *below = strchr(target, '/');
    snprintf(first, sizeof first, "%s%s", path, below ? below : "");
    made = link(first, place);
  } else if (head[0] == 'f') {
    int fd = open(place, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) fail("cannot make", place);
    receive_content(fd, place, get(head + 25, 8));
    made = close(fd);
  }
  if (made) fail("cannot make", place);
  if (head[0] == 'h') return;
  if (lchown(place, uid, gid)) fail("cannot hand over", place);
  if (head[0] != 'l' && chmod(place, mode)) fail("cannot make", place);
  utimensat(AT_FDCWD, place, times, AT_SYMLINK_NOFOLLOW);
}

/* A path that is a directory receives the tree below its own name, as `cp` does. */
void receive_tree(const char *path) {
  static char name[PATH_MAX], target[PATH_MAX], into[PATH_MAX];
  unsigned char head[HEAD_SIZE];
  struct stat there;
  for (int is_first = 1;; is_first = 0) {
    read_all(head, sizeof head);
    size_t name_size = get(head + 33, 4), target_size = get(head + 37, 4);
    errno = ENAMETOOLONG;
    if (name_size >= sizeof name || target_size >= sizeof target) fail("cannot receive", path);
    read_all(name, name_size);
    read_all(target, target_size);
    name[name_size] = target[target_size] = 0;
    if (head[0] == 'e') break;
    if (is_first) {
      int below = stat(path, &there) == 0 && S_ISDIR(there.st_mode) && strcmp(name, ".");
      int slash = path[strlen(path) - 1] == '/';
      snprintf(into, sizeof into, below ? (slash ? "%s%s" : "%s/%s") : "%s", path, name);
    }
    receive_entry(into, head, name, target);
  }
  _exit(0);
}
