#include "init.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIGTERM_NUMBER 15
/* SIGRTMIN+3 of glibc and musl, at which systemd powers off. */
#define INIT_STOP_SIGNAL 37

struct run run = {
    .cwd = "/",
    .stop_signal = SIGTERM_NUMBER,
    .stop_timeout_ms = 10000,
    // As docker's.
    .health = {.interval_ms = 30000, .timeout_ms = 30000, .retries = 3},
};
struct identity identity;

static void add(char **list, int *count, char *value) {
  if (*count < MAX_LIST) list[(*count)++] = value;
  list[*count] = NULL;
}

/* Replaces the entry of the same name. */
static void set_env(char *entry) {
  size_t length = strcspn(entry, "=") + 1;
  for (int i = 0; i < run.env_count; i++)
    if (!strncmp(run.env[i], entry, length)) {
      run.env[i] = entry;
      return;
    }
  add(run.env, &run.env_count, entry);
}

static void take(const char *key, char *value) {
  if (!strcmp(key, "arg")) add(run.args, &run.arg_count, value);
  else if (!strcmp(key, "env")) add(run.env, &run.env_count, value);
  else if (!strcmp(key, "volume")) add(run.volumes, &run.volume_count, value);
  else if (!strcmp(key, "dns")) add(run.dns, &run.dns_count, value);
  else if (!strcmp(key, "cwd")) run.cwd = value;
  else if (!strcmp(key, "uid")) run.uid = strtoul(value, NULL, 10);
  else if (!strcmp(key, "gid")) run.gid = strtoul(value, NULL, 10);
  else if (!strcmp(key, "group") && run.group_count < MAX_LIST) run.groups[run.group_count++] = strtoul(value, NULL, 10);
  else if (!strcmp(key, "stop_signal")) run.stop_signal = atoi(value);
  else if (!strcmp(key, "stop_timeout_ms")) run.stop_timeout_ms = atoi(value);
  else if (!strcmp(key, "hands_over")) run.hands_over = atoi(value);
  else if (!strcmp(key, "health_arg")) add(run.health.args, &run.health.arg_count, value);
  else if (!strcmp(key, "health_interval_ms")) run.health.interval_ms = atoi(value);
  else if (!strcmp(key, "health_timeout_ms")) run.health.timeout_ms = atoi(value);
  else if (!strcmp(key, "health_retries")) run.health.retries = atoi(value);
  else if (!strcmp(key, "health_start_period_ms")) run.health.start_period_ms = atoi(value);
  else if (!strcmp(key, "health_stops")) run.health.stops = atoi(value);
}

/* Records `key=value`, each ended by a zero byte. The text stays in memory: the lists point into it. */
static int read_records(const char *path, void (*take_record)(const char *key, char *value)) {
  struct stat info;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &info)) return -1;
  char *text = malloc(info.st_size + 1);
  if (!text || read(fd, text, info.st_size) != info.st_size) return -1;
  close(fd);
  text[info.st_size] = 0;
  for (char *at = text; at < text + info.st_size; at += strlen(at) + 1) {
    char *equals = strchr(at, '=');
    if (!equals) return -1;
    *equals = 0;
    take_record(at, equals + 1);
    at = equals + 1;
  }
  return 0;
}

int read_run(const char *path) { return read_records(path, take) || run.arg_count == 0 ? -1 : 0; }

static int has_args, has_health_args, has_home;

static void take_override(const char *key, char *value) {
  if (!strcmp(key, "arg") && !has_args++) run.arg_count = 0;
  if (!strcmp(key, "health_arg") && !has_health_args++) run.health.arg_count = 0;
  if (!strcmp(key, "env")) {
    has_home |= !strncmp(value, "HOME=", 5);
    set_env(value);
  } else if (!strcmp(key, "user")) run.user = value;
  else if (!strcmp(key, "no_command")) run.idle = 1;
  else if (!strcmp(key, "no_health")) run.health.arg_count = 0;
  else take(key, value);
}

/* Programs that must be process 1. Source: podman-run(1), --systemd. */
static int is_init(const char *path) {
  static const char *const names[] = {"/sbin/init", "/bin/init", "/lib/systemd/systemd", "/bin/systemd", "/sbin/systemd"};
  if (!strncmp(path, "/usr/local/", 11)) path += 10;
  else if (!strncmp(path, "/usr/", 5)) path += 4;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strcmp(path, names[i])) return 1;
  return 0;
}

static int set_user(void) {
  static struct account account;
  static char home[sizeof account.home + 8];
  char unknown[300];
  if (find_account(run.user, &account, unknown, sizeof unknown)) {
    say("cannot run as %s: %s", run.user, unknown);
    return -1;
  }
  run.uid = account.uid;
  run.gid = account.gid;
  memcpy(run.groups, account.groups, sizeof account.groups);
  run.group_count = account.group_count;
  snprintf(home, sizeof home, "HOME=%s", account.home);
  if (!has_home) set_env(home);
  return 0;
}

int read_overrides(const char *path) {
  if (access(path, F_OK)) return 0;
  if (read_records(path, take_override)) {
    say("cannot read %s", path);
    return -1;
  }
  int hands_over = has_args ? is_init(run.args[0]) : run.hands_over && !run.idle;
  if (hands_over != run.hands_over) run.stop_signal = hands_over ? INIT_STOP_SIGNAL : SIGTERM_NUMBER;
  run.hands_over = hands_over;
  return run.user ? set_user() : 0;
}

static void keep(char *target, size_t size, const char *value) { snprintf(target, size, "%s", value); }

/* Lines `KEY='value'`, as a shell reads them. */
int read_identity(const char *path) {
  char text[8192];
  if (read_file(path, text, sizeof text) < 0) return -1;
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    char *value = strchr(line, '=');
    if (!value) continue;
    *value++ = 0;
    size_t length = strlen(value);
    if (length >= 2 && value[0] == '\'' && value[length - 1] == '\'') {
      value[length - 1] = 0;
      value++;
    }
    if (!strcmp(line, "MVM_TENANT_ID")) keep(identity.tenant, sizeof identity.tenant, value);
    else if (!strcmp(line, "MVM_POOL_ID")) keep(identity.pool, sizeof identity.pool, value);
    else if (!strcmp(line, "MVM_INSTANCE_ID")) keep(identity.instance, sizeof identity.instance, value);
    else if (!strcmp(line, "MVM_HOSTNAME")) keep(identity.hostname, sizeof identity.hostname, value);
    else if (!strcmp(line, "MVM_NET_ADDRESS")) keep(identity.address, sizeof identity.address, value);
    else if (!strcmp(line, "MVM_NET_GATEWAY")) keep(identity.gateway, sizeof identity.gateway, value);
    else if (!strcmp(line, "MVM_NET_MAC")) keep(identity.mac, sizeof identity.mac, value);
    else if (!strcmp(line, "MVM_NET_MTU")) keep(identity.mtu, sizeof identity.mtu, value);
    else if (!strcmp(line, "MVM_NET_DNS")) keep(identity.dns, sizeof identity.dns, value);
  }
  return 0;
}
