#define _GNU_SOURCE
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

/* One line on the console, in one write: lines of other programs do not mix with it. */
void say(const char *format, ...) {
  char line[1024];
  int used = snprintf(line, sizeof line, "mvm-guest ");
  va_list values;
  va_start(values, format);
  int more = vsnprintf(line + used, sizeof line - used - 1, format, values);
  va_end(values);
  used += more < (int)sizeof line - used - 2 ? more : (int)sizeof line - used - 2;
  line[used++] = '\n';
  if (write(1, line, used) < 0) return;
}

/* Text of a small file, without its last newline. Its length, or -1. */
int read_file(const char *path, char *buffer, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  size_t used = 0;
  for (ssize_t n; used < size - 1 && (n = read(fd, buffer + used, size - 1 - used)) > 0;) used += n;
  close(fd);
  if (used > 0 && buffer[used - 1] == '\n') used--;
  buffer[used] = 0;
  return used;
}

int boot_option(const char *key, char *value, size_t size) {
  static char line[4096];
  if (read_file("/proc/cmdline", line, sizeof line) < 0) return -1;
  size_t length = strlen(key);
  for (char *at = line; *at; at += strspn(at, " ")) {
    size_t end = strcspn(at, " ");
    if (end > length && !strncmp(at, key, length) && at[length] == '=') {
      snprintf(value, size, "%.*s", (int)(end - length - 1), at + length + 1);
      return 0;
    }
    at += end;
  }
  return -1;
}

/* Replaces what is there, be it a link that leads nowhere. */
int write_file(const char *path, const char *text) {
  unlink(path);
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return -1;
  ssize_t written = write(fd, text, strlen(text));
  close(fd);
  return written == (ssize_t)strlen(text) ? 0 : -1;
}

int make_dirs(const char *path, mode_t mode) {
  char part[4096];
  if (strlen(path) >= sizeof part) return -1;
  strcpy(part, path);
  for (char *at = part + 1; *at; at++) {
    if (*at != '/') continue;
    *at = 0;
    mkdir(part, 0755);
    *at = '/';
  }
  return mkdir(part, mode) == 0 || errno == EEXIST ? 0 : -1;
}

int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int copy_file(const char *from, const char *to) {
  static char buffer[65536];
  int in = open(from, O_RDONLY | O_CLOEXEC);
  int out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  ssize_t n = -1;
  if (out >= 0)
    while ((n = read(in, buffer, sizeof buffer)) > 0)
      if (write(out, buffer, n) != n) {
        n = -1;
        break;
      }
  if (in >= 0) close(in);
  if (out >= 0) close(out);
  return n == 0 ? 0 : -1;
}

/* Copies files, directories and links with owner, mode and time into a directory that exists. */
int copy_tree(const char *from, const char *to) {
  char source[4096], target[4096], link[4096];
  int failed = 0;
  DIR *dir = opendir(from);
  if (!dir) return -1;
  for (struct dirent *entry; (entry = readdir(dir));) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    struct stat info;
    if (snprintf(source, sizeof source, "%s/%s", from, entry->d_name) >= (int)sizeof source ||
        snprintf(target, sizeof target, "%s/%s", to, entry->d_name) >= (int)sizeof target ||
        lstat(source, &info)) {
      failed = 1;
      continue;
    }
    int done = -1;
    if (S_ISDIR(info.st_mode)) done = mkdir(target, 0700) || copy_tree(source, target);
    else if (S_ISREG(info.st_mode)) done = copy_file(source, target);
    else if (S_ISLNK(info.st_mode)) {
      ssize_t length = readlink(source, link, sizeof link - 1);
      if (length >= 0) {
        link[length] = 0;
        done = symlink(link, target);
      }
    } else done = mknod(target, info.st_mode, info.st_rdev);
    struct timespec times[2] = {info.st_atim, info.st_mtim};
    if (done || lchown(target, info.st_uid, info.st_gid)) failed = 1;
    else {
      if (!S_ISLNK(info.st_mode)) chmod(target, info.st_mode & 07777);
      utimensat(AT_FDCWD, target, times, AT_SYMLINK_NOFOLLOW);
    }
  }
  closedir(dir);
  return failed ? -1 : 0;
}
