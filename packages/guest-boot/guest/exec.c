/* How a program that the host's operator asked for is run: as `docker exec` does, beside the image's own command. */
#define _GNU_SOURCE
#include "init.h"
#include "streams.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Codes of docker: the command cannot be run, is not there. */
#define CANNOT_RUN 126
#define NOT_FOUND 127

static void fail(int code, const char *what, const char *of) {
  dprintf(2, "mvm: %s %s: %s\n", what, of, strerror(errno));
  _exit(code);
}

static void become_user(const char *wanted) {
  static struct account account;
  char unknown[300];
  if (find_account(wanted, &account, unknown, sizeof unknown)) {
    dprintf(2, "mvm: %s\n", unknown);
    _exit(CANNOT_RUN);
  }
  setenv("HOME", account.home, 1);
  for (int i = 0; account.uid != 0 && i < 3; i++)
    if (fchown(i, account.uid, account.gid)) continue;
  if (setgroups(account.group_count, account.groups) || setgid(account.gid) || setuid(account.uid))
    fail(CANNOT_RUN, "cannot become", wanted);
}

void exec_spec(const struct stream_spec *spec) {
  if (!strcmp(spec->kind, "send_tree")) send_tree(spec->path);
  if (!strcmp(spec->kind, "receive_tree")) receive_tree(spec->path);
  static char hostname[80];
  clearenv();
  for (int i = 0; i < run.env_count; i++) putenv(run.env[i]);
  snprintf(hostname, sizeof hostname, "HOSTNAME=%s", identity.hostname);
  if (identity.hostname[0]) putenv(hostname);
  if (spec->tty) setenv("TERM", "xterm", 1);
  const char *cwd = spec->cwd ? spec->cwd : run.cwd;
  if (chdir(cwd)) fail(CANNOT_RUN, "cannot work in", cwd);
  if (spec->user) become_user(spec->user);
  else {
    for (int i = 0; run.uid != 0 && i < 3; i++)
      if (fchown(i, run.uid, run.gid)) continue;
    if (setgroups(run.group_count, run.groups) || setgid(run.gid) || setuid(run.uid)) fail(CANNOT_RUN, "cannot become", "the image's user");
  }
  // What the caller says comes last.
  for (int i = 0; i < spec->env_count; i++) putenv(spec->env[i]);
  if (spec->arg_count == 0) {
    dprintf(2, "mvm: there is no command\n");
    _exit(CANNOT_RUN);
  }
  execvp(spec->args[0], spec->args);
  fail(errno == ENOENT || errno == ENOTDIR ? NOT_FOUND : CANNOT_RUN, "cannot run", spec->args[0]);
  _exit(CANNOT_RUN);
}
