#include "init.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct run run = {.cwd = "/", .stop_signal = 15, .stop_timeout_ms = 10000};
struct identity identity;

static void add(char **list, int *count, char *value) {
  if (*count < MAX_LIST) list[(*count)++] = value;
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
}

/* Records `key=value`, each ended by a zero byte. The text stays in memory: the lists point into it. */
int read_run(const char *path) {
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
    take(at, equals + 1);
    at = equals + 1;
  }
  return run.arg_count > 0 ? 0 : -1;
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
