#define _GNU_SOURCE
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Codes of docker: the command cannot be run, is not there. */
#define CANNOT_RUN 126
#define NOT_FOUND 127

static void become_main(void) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  int null = open("/dev/null", O_RDWR);
  if (null >= 0) dup2(null, 0);
  if (null > 2) close(null);
  // A program that opens /dev/stdout again needs to be its owner.
  if (run.uid != 0 && fchown(1, run.uid, run.gid)) say("cannot hand over the console: %s", strerror(errno));
}

void become_image_user(void) {
  static char hostname[80];
  snprintf(hostname, sizeof hostname, "HOSTNAME=%s", identity.hostname);
  if (identity.hostname[0] && run.env_count < MAX_LIST) run.env[run.env_count++] = hostname;
  if (chdir(run.cwd) || setgroups(run.group_count, run.groups) || setgid(run.gid) || setuid(run.uid)) {
    say("cannot start in %s as %u:%u: %s", run.cwd, run.uid, run.gid, strerror(errno));
    _exit(CANNOT_RUN);
  }
  // execvp looks the program up in the PATH of its own environment.
  clearenv();
  for (int i = 0; i < run.env_count; i++) putenv(run.env[i]);
}

/* Becomes the image's command. */
void exec_main(void) {
  become_main();
  become_image_user();
  execvp(run.args[0], run.args);
  int code = errno == ENOENT || errno == ENOTDIR ? NOT_FOUND : CANNOT_RUN;
  say("cannot run %s: %s", run.args[0], strerror(errno));
  _exit(code);
}

pid_t start_main(void) {
  pid_t pid = fork();
  if (pid == 0) {
    setsid();
    exec_main();
  }
  if (pid < 0) say("cannot start a process: %s", strerror(errno));
  return pid;
}
