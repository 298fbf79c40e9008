#define _GNU_SOURCE
#include "init.h"
#include "streams.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define KEY_POWER 116
#define EV_KEY 1
#define MAX_INPUTS 8

/* Source: Linux, include/uapi/linux/input.h. */
struct key_event {
  int64_t sec, usec;
  uint16_t type, code;
  int32_t value;
};

enum { SIGNALS, AGENT, BUTTON, STREAM };

static pid_t main_pid;
static int64_t kill_at;
static int is_unhealthy;

void power_off(void) {
  unmount_data();
  sync();
  // A VMM that a guest cannot switch off ends when the guest restarts.
  char off[16];
  reboot(boot_option("mvm.off", off, sizeof off) == 0 && !strcmp(off, "reboot") ? RB_AUTOBOOT : RB_POWER_OFF);
  for (;;) pause();
}

/* Whether the kernel has ended a process for want of memory: it says so in its log. */
static int ran_out_of_memory(void) {
  char record[2048];
  int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC), found = 0;
  for (ssize_t n; fd >= 0 && !found;) {
    n = read(fd, record, sizeof record - 1);
    if (n < 0 && errno == EPIPE) continue;
    if (n <= 0) break;
    record[n] = 0;
    found = strstr(record, "Killed process ") != NULL;
  }
  if (fd >= 0) close(fd);
  return found;
}

/* Ends what is left, and says last how the main process ended, so that nothing follows it on the console. */
static void __attribute__((noreturn)) finish(int signal, int code) {
  int no_memory = code == 128 + SIGKILL && ran_out_of_memory();
  // Whatever is left has no time to lose: its main process has ended.
  kill(-1, SIGTERM);
  for (int64_t end = now_ms() + 1000; now_ms() < end;) {
    pid_t pid = waitpid(-1, NULL, WNOHANG);
    if (pid < 0) break;
    if (pid == 0) usleep(10000);
  }
  kill(-1, SIGKILL);
  while (waitpid(-1, NULL, 0) > 0) continue;
  const char *why = is_unhealthy ? " unhealthy=1" : no_memory ? " oom=1" : "";
  if (signal) say("exited signal=%d code=%d%s", signal, code, why);
  else say("exited code=%d%s", code, why);
  tcdrain(1);
  power_off();
}

void give_up(int code) { finish(0, code); }

static void main_ended(int status) {
  if (WIFSIGNALED(status)) finish(WTERMSIG(status), 128 + WTERMSIG(status));
  finish(0, WEXITSTATUS(status));
}

static void stop(void);

static void reap(void) {
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid == main_pid) main_ended(status);
    if (health_child_ended(pid, status)) {
      is_unhealthy = 1;
      stop();
    }
    if (agent_child_ended(pid, status)) agent_serve();
    streams_child_ended(pid, status);
  }
}

/* The host presses the power button: the image's own way to stop, and after its time the hard one. */
static void stop(void) {
  if (kill_at != 0) return;
  say("powering off");
  if (main_pid == 0) finish(0, 0);
  kill(main_pid, run.stop_signal);
  kill_at = now_ms() + run.stop_timeout_ms;
}

static void read_button(int fd) {
  struct key_event event;
  while (read(fd, &event, sizeof event) == sizeof event)
    if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1) stop();
}

static void watch(int poller, int fd, uint32_t events, int kind) {
  struct epoll_event event = {.events = events, .data.u64 = (uint64_t)kind << 32 | (uint32_t)fd};
  if (fd >= 0) epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

static void watch_buttons(int poller) {
  char path[64];
  for (int i = 0; i < MAX_INPUTS; i++) {
    snprintf(path, sizeof path, "/dev/input/event%d", i);
    watch(poller, open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), EPOLLIN, BUTTON);
  }
}

void serve(pid_t pid) {
  main_pid = pid;
  int poller = epoll_create1(EPOLL_CLOEXEC);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  // Ctrl-Alt-Del, the power button of a VMM that has none.
  sigaddset(&signals, SIGINT);
  if (pid != 1) reboot(RB_DISABLE_CAD);
  watch(poller, signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC), EPOLLIN, SIGNALS);
  uint32_t events_of_agent;
  int agent = agent_open(&events_of_agent);
  watch(poller, agent, events_of_agent, AGENT);
  watch_buttons(poller);
  streams_watch(poller, (uint64_t)STREAM << 32);
  report_ready();
  health_begin();
  reap();
  for (;;) {
    struct epoll_event events[8];
    int64_t left = kill_at == 0 ? health_wait_ms() : kill_at - now_ms();
    int count = epoll_wait(poller, events, 8, left < 0 && kill_at != 0 ? 0 : (int)left);
    if (kill_at == 0) health_tick();
    if (kill_at != 0 && now_ms() >= kill_at) {
      say("the main process did not stop in time");
      if (main_pid == 1) power_off();
      kill(main_pid, SIGKILL);
      kill_at = now_ms() + 1000;
    }
    for (int i = 0; i < count; i++) {
      int fd = (int)(uint32_t)events[i].data.u64;
      switch (events[i].data.u64 >> 32) {
        case SIGNALS: {
          struct signalfd_siginfo info;
          while (read(fd, &info, sizeof info) == sizeof info)
            if (info.ssi_signo == SIGINT && info.ssi_code == SI_KERNEL) stop();
          reap();
          break;
        }
        case AGENT:
          agent_serve();
          break;
        case BUTTON:
          read_button(fd);
          break;
        case STREAM:
          streams_event((uint32_t)events[i].data.u64, events[i].events);
          break;
      }
    }
    streams_pump();
  }
}
