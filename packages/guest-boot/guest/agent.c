/*
 * Answers the host over the virtio port org.mvm.agent.0, or, where there is none, over vsock. A frame is 4 bytes of length, big-endian, and as many bytes of
 * JSON; each request is answered in turn. The host writes its JSON in one form only, so that a few comparisons read it.
 */
#define _GNU_SOURCE
#include "init.h"
#include "streams.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT_NAME "org.mvm.agent.0"
#define VSOCK_PORT 1024
#define MAX_FRAME (256 * 1024)
#define SLEEP_PREP "/etc/mvm/sleep-prep"
/* random(4): _IO('R', 0x07). What is written to /dev/urandom alone is not drawn on for up to a minute. */
#define RNDRESEEDCRNG 0x5207

/* Source: Linux, include/uapi/linux/vm_sockets.h, which musl does not bring. */
struct vsock_address {
  sa_family_t family;
  uint16_t reserved;
  uint32_t port, cid;
  uint8_t zero[4];
};
#define ANY_CID 0xffffffff

static int port = -1;
/* Over vsock: what accepts the host's connections, and what tells of news of both. */
static int listener = -1, news = -1;
static unsigned char in[4 + MAX_FRAME + 1];
static size_t in_used;
static unsigned char out[131072];
/* What streams leave of it to answers. */
#define ROOM_FOR_ANSWERS 8192
static size_t out_sent, out_used;
static pid_t sleep_prep;
/* Whether the host still waits for what sleep_prep says. */
static int wants_prep_ack;

static int open_port(void) {
  char path[512], name[64];
  DIR *dir = opendir("/sys/class/virtio-ports");
  if (!dir) return -1;
  for (struct dirent *entry; port < 0 && (entry = readdir(dir));) {
    snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
    if (read_file(path, name, sizeof name) < 0 || strcmp(name, PORT_NAME)) continue;
    snprintf(path, sizeof path, "/dev/%s", entry->d_name);
    // The kernel lets a port be opened once: so once, and for both directions.
    port = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  }
  closedir(dir);
  return port;
}

static int watch_socket(int fd, uint32_t events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  return epoll_ctl(news, EPOLL_CTL_ADD, fd, &event);
}

static int listen_vsock(void) {
  struct vsock_address any = {.family = AF_VSOCK, .port = VSOCK_PORT, .cid = ANY_CID};
  listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener < 0) return -1;
  news = epoll_create1(EPOLL_CLOEXEC);
  if (bind(listener, (struct sockaddr *)&any, sizeof any) || listen(listener, 4) || news < 0 || watch_socket(listener, EPOLLIN)) {
    close(listener);
    listener = -1;
  }
  return listener;
}

int agent_open(uint32_t *events) {
  // Edges only: a port whose host is away has news all the time.
  *events = EPOLLIN | EPOLLOUT | EPOLLET;
  if (open_port() >= 0) return port;
  *events = EPOLLIN;
  return listen_vsock() < 0 ? -1 : news;
}

static void close_connection(void) {
  close(port);
  port = -1;
  in_used = out_used = out_sent = 0;
  streams_reset();
}

/* The host has one connection at a time: a new one takes the place of the last. */
static void accept_connections(void) {
  struct epoll_event events[4];
  while (epoll_wait(news, events, 4, 0) > 0) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
      if (port >= 0) close_connection();
      port = fd;
      watch_socket(port, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    }
  }
}

static void flush_answers(void) {
  while (out_sent < out_used) {
    ssize_t n = write(port, out + out_sent, out_used - out_sent);
    if (n <= 0) break;
    out_sent += n;
  }
  if (out_sent < out_used && out_sent < sizeof out / 2) return;
  out_used -= out_sent;
  memmove(out, out + out_sent, out_used);
  out_sent = 0;
}

unsigned char *agent_frame(size_t size) {
  if (out_used + 4 + size + ROOM_FOR_ANSWERS > sizeof out) flush_answers();
  return port < 0 || out_used + 4 + size + ROOM_FOR_ANSWERS > sizeof out ? NULL : out + out_used + 4;
}

static void put_length(size_t length) {
  unsigned char *at = out + out_used;
  at[0] = length >> 24, at[1] = length >> 16, at[2] = length >> 8, at[3] = length;
  out_used += 4 + length;
}

void agent_frame_done(size_t size) {
  put_length(size);
  flush_answers();
}

static void answer(const char *json) {
  size_t length = strlen(json);
  // A host that does not read its answers loses the next ones.
  if (out_used + 4 + length > sizeof out) return;
  memcpy(out + out_used + 4, json, length);
  put_length(length);
  flush_answers();
}

static int base64_digit(char c) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const char *found = c ? strchr(digits, c) : NULL;
  return found ? found - digits : -1;
}

static size_t decode_base64(const char *text, unsigned char *bytes, size_t size) {
  size_t used = 0;
  uint32_t bits = 0;
  for (int count = 0, digit; (digit = base64_digit(*text)) >= 0 && used < size; text++) {
    bits = bits << 6 | digit;
    count += 6;
    if (count >= 8) bytes[used++] = bits >> (count -= 8);
  }
  return used;
}

/* The host's time and fresh entropy, after a sleep. */
static int resync(const char *body) {
  const char *time = strstr(body, "\"unix_time_ms\":"), *entropy = strstr(body, "\"entropy_base64\":\"");
  if (!time || !entropy) return -1;
  long long ms = strtoll(time + 15, NULL, 10);
  struct timespec now = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
  if (clock_settime(CLOCK_REALTIME, &now)) return -1;
  unsigned char bytes[512];
  size_t length = decode_base64(entropy + 18, bytes, sizeof bytes);
  int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
  int failed = fd < 0 || write(fd, bytes, length) != (ssize_t)length || ioctl(fd, RNDRESEEDCRNG);
  if (fd >= 0) close(fd);
  memset(bytes, 0, sizeof bytes);
  return failed ? -1 : 0;
}

static void wake(void) {
  int failed = read_config_drive() | read_secrets_drive();
  say("awake time=%lld", (long long)time(NULL));
  answer(failed ? "{\"WakeAck\":{\"success\":false}}" : "{\"WakeAck\":{\"success\":true}}");
}

/* An image may bring a program of its own that finishes or parks its work. */
static void prepare_sleep(void) {
  wants_prep_ack = 1;
  if (sleep_prep > 0) return;
  if (access(SLEEP_PREP, X_OK) == 0 && (sleep_prep = fork()) >= 0) {
    if (sleep_prep > 0) return;
    signal(SIGPIPE, SIG_DFL);
    execl(SLEEP_PREP, SLEEP_PREP, (char *)NULL);
    _exit(127);
  }
  sleep_prep = 0;
  sync();
  answer("{\"SleepPrepAck\":{\"success\":true,\"detail\":null}}");
}

int agent_child_ended(pid_t pid, int status) {
  if (pid != sleep_prep || pid == 0) return 0;
  sleep_prep = 0;
  sync();
  if (!wants_prep_ack) return 1;
  answer(status == 0 ? "{\"SleepPrepAck\":{\"success\":true,\"detail\":null}}"
                     : "{\"SleepPrepAck\":{\"success\":false,\"detail\":\"sleep-prep failed\"}}");
  return 1;
}

static void sync_token(const char *body) {
  char token[128], reply[256];
  if (sscanf(body, "{\"Sync\":{\"token\":\"%127[A-Za-z0-9_-]\"", token) != 1) return;
  // A connection that begins is another one: streams of the last, and what it waited for, are over.
  streams_reset();
  wants_prep_ack = 0;
  snprintf(reply, sizeof reply, "{\"SyncAck\":{\"token\":\"%s\",\"streams\":1}}", token);
  answer(reply);
}

static void worker_status(void) {
  char reply[128];
  snprintf(reply, sizeof reply, "{\"WorkerStatus\":{\"status\":\"idle\",\"last_busy_at\":null,\"health\":\"%s\"}}", health_status());
  answer(reply);
}

static int begins(const char *body, const char *with) { return !strncmp(body, with, strlen(with)); }

static void handle(const char *body) {
  if (begins(body, "{\"Sync\":")) sync_token(body);
  else if (!strcmp(body, "\"Ping\"")) answer("\"Pong\"");
  else if (!strcmp(body, "\"WorkerStatus\"")) worker_status();
  else if (!strcmp(body, "\"Wake\"")) wake();
  else if (begins(body, "{\"SleepPrep\":")) prepare_sleep();
  else if (begins(body, "{\"Resync\":"))
    answer(resync(body) ? "{\"ResyncAck\":{\"success\":false}}" : "{\"ResyncAck\":{\"success\":true}}");
  else answer("{\"Error\":{\"message\":\"unknown request\"}}");
}

/* Handles whole frames that are there. */
static void handle_frames(void) {
  while (in_used >= 4) {
    size_t length = (size_t)in[0] << 24 | in[1] << 16 | in[2] << 8 | in[3];
    if (length > MAX_FRAME) {
      // No request of the host's: we have lost our place in the stream, and start again.
      in_used = 0;
      return;
    }
    if (in_used < 4 + length) return;
    unsigned char next = in[4 + length];
    in[4 + length] = 0;
    if (length > 0 && in[4] >= OPEN && in[4] <= CLOSE) streams_frame(in + 4, length);
    else handle((char *)in + 4);
    in[4 + length] = next;
    in_used -= 4 + length;
    memmove(in, in + 4 + length, in_used);
  }
}

void agent_serve(void) {
  if (listener >= 0) accept_connections();
  if (port < 0) return;
  flush_answers();
  for (int has_read = 0;; has_read = 1) {
    handle_frames();
    if (in_used >= sizeof in - 1) return;
    ssize_t n = read(port, in + in_used, sizeof in - 1 - in_used);
    if (listener >= 0 && (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))) {
      close_connection();
      return;
    }
    if (n == 0) {
      // The kernel takes the host for gone. It learns of a new connection later than of that one's first bytes: what has
      // just been read is the new host's, and its answers wait until the port takes them.
      if (!has_read) {
        in_used = out_used = out_sent = 0;
        streams_reset();
      }
      return;
    }
    if (n < 0) return;
    in_used += n;
  }
}
