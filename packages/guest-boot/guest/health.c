/* The health check of the image, or of the pool: a program that is run again and again. docs/images.md#health. */
#define _GNU_SOURCE
#include "init.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int64_t began_at, next_at, kill_at;
static pid_t checking;
static int failures;
static const char *status = "none";

void health_begin(void) {
  if (run.health.arg_count == 0) return;
  status = "starting";
  began_at = now_ms();
  next_at = began_at + run.health.interval_ms;
}

const char *health_status(void) { return status; }

int health_wait_ms(void) {
  if (next_at == 0) return -1;
  int64_t left = (checking > 0 ? kill_at : next_at) - now_ms();
  return left < 0 ? 0 : (int)left;
}

static void check(void) {
  checking = fork();
  if (checking > 0) {
    kill_at = now_ms() + run.health.timeout_ms;
    return;
  }
  if (checking < 0) {
    checking = 0;
    next_at = now_ms() + run.health.interval_ms;
    return;
  }
  setsid();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  // What it prints belongs to no one: the console is the main process's.
  int null = open("/dev/null", O_RDWR);
  for (int fd = 0; null >= 0 && fd < 3; fd++) dup2(null, fd);
  if (null > 2) close(null);
  become_image_user();
  execvp(run.health.args[0], run.health.args);
  _exit(127);
}

void health_tick(void) {
  if (next_at == 0) return;
  if (checking == 0 && now_ms() >= next_at) check();
  else if (checking > 0 && now_ms() >= kill_at) {
    kill(-checking, SIGKILL);
    kill(checking, SIGKILL);
    // Once: the next look is at its end.
    kill_at = now_ms() + run.health.timeout_ms;
  }
}

static void change(const char *to) {
  if (!strcmp(status, to)) return;
  status = to;
  say("health status=%s", to);
}

int health_child_ended(pid_t pid, int how) {
  if (pid != checking || pid == 0) return 0;
  checking = 0;
  next_at = now_ms() + run.health.interval_ms;
  if (WIFEXITED(how) && WEXITSTATUS(how) == 0) {
    failures = 0;
    change("healthy");
    return 0;
  }
  if (!strcmp(status, "starting") && now_ms() - began_at < run.health.start_period_ms) return 0;
  failures++;
  if (failures < run.health.retries) return 0;
  change("unhealthy");
  return run.health.stops;
}
