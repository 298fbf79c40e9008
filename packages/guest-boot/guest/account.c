/* Who a program runs as, by the guest's own /etc/passwd and /etc/group. */
#define _GNU_SOURCE
#include "init.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int number(const char *text, unsigned *value) {
  char *end;
  *value = strtoul(text, &end, 10);
  return *text >= '0' && *text <= '9' && *end == 0 ? 0 : -1;
}

static int missing(const char *what, const char *name, char *unknown, size_t size) {
  snprintf(unknown, size, "the guest has no %s %s", what, name);
  return -1;
}

int find_account(const char *wanted, struct account *account, char *unknown, size_t size) {
  char user[256];
  unsigned uid, gid = 0;
  snprintf(user, sizeof user, "%s", wanted);
  char *group = strchr(user, ':');
  if (group) *group++ = 0;
  struct passwd *entry = NULL;
  if (number(user, &uid) == 0) entry = getpwuid(uid);
  else if (!(entry = getpwnam(user))) return missing("user", user, unknown, size);
  if (entry) {
    uid = entry->pw_uid;
    gid = entry->pw_gid;
  }
  snprintf(account->home, sizeof account->home, "%s", entry && entry->pw_dir[0] ? entry->pw_dir : "/");
  account->group_count = MAX_LIST;
  if (group) {
    struct group *found = NULL;
    if (number(group, &gid) && !(found = getgrnam(group))) return missing("group", group, unknown, size);
    if (found) gid = found->gr_gid;
    account->group_count = 0;
  } else if (!entry || getgrouplist(entry->pw_name, gid, account->groups, &account->group_count) < 0)
    account->group_count = 0;
  account->uid = uid;
  account->gid = gid;
  return 0;
}
