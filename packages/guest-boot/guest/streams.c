/*
 * Streams over the agent's channel. Source: docs/guest-streams.md#frames.
 *
 * INVARIANTS
 * - The process never waits: descriptors do not block, and one that is slow stops its own stream only.
 * - No more than WINDOW bytes wait for one stream, and at most MAX_STREAMS streams are open.
 * - A stream sends no more than the host has given it credit for.
 */
#define _GNU_SOURCE
#include "init.h"
#include "streams.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* What may be under way to a stream, and what a stream may send before the first CREDIT. */
#define WINDOW 65536
#define FIRST_CREDIT 262144
#define RETURN_CREDIT_AT 16384
#define MAX_DATA 32768
/* What a small piece of data costs at least, so that single bytes cannot flood a reader. */
#define LEAST_COST 256
#define HEAD 5

enum { IN, OUT, ERR };
/* How the caller leaves a stream. */
enum { HANG_UP = 1, DETACH };

struct stream {
  uint32_t id;
  pid_t pid;
  int fds[3];
  /* Whether the descriptor had news since it last said EAGAIN. */
  unsigned char ready[3];
  unsigned char used, is_socket, is_tty, connecting, detached, exited, in_ended, out_ended, closing;
  int status;
  uint32_t credit;
  uint32_t window;
  uint32_t to_return;
  unsigned char *queue;
  size_t queue_used;
};

static struct stream streams[MAX_STREAMS];
static int poller = -1;
static uint64_t poller_mark;

void streams_watch(int fd, uint64_t mark) {
  // A program that has closed its end shows as an error of write.
  signal(SIGPIPE, SIG_IGN);
  poller = fd;
  poller_mark = mark;
}

static uint32_t get32(const unsigned char *at) { return (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3]; }
static void put32(unsigned char *at, uint32_t value) { at[0] = value >> 24, at[1] = value >> 16, at[2] = value >> 8, at[3] = value; }
static uint32_t cost_of(size_t bytes) { return bytes < LEAST_COST ? LEAST_COST : bytes; }

static void head(unsigned char *at, int type, uint32_t id) {
  at[0] = type;
  put32(at + 1, id);
}

static int send_end(uint32_t id, const char *key, const char *value) {
  unsigned char *at = agent_frame(HEAD + 256);
  if (!at) return -1;
  head(at, END, id);
  int length = snprintf((char *)at + HEAD, 256, "%s=%s", key, value) + 1;
  agent_frame_done(HEAD + (length > 256 ? 256 : length));
  return 0;
}

static void close_one(struct stream *s, int which) {
  int fd = s->fds[which];
  if (fd < 0) return;
  s->fds[which] = -1;
  // A terminal and a socket are one descriptor for both directions.
  for (int i = IN; i <= ERR; i++)
    if (s->fds[i] == fd) return;
  close(fd);
}

static void drop(struct stream *s) {
  for (int i = IN; i <= ERR; i++) close_one(s, i);
  free(s->queue);
  memset(s, 0, sizeof *s);
}

/* The caller is gone: what it ran is told so, as by a terminal that was closed. */
static void hang_up(struct stream *s) {
  if (s->pid > 0 && !s->exited) kill(-s->pid, SIGHUP);
  drop(s);
}

void streams_reset(void) {
  for (int i = 0; i < MAX_STREAMS; i++)
    if (streams[i].used && !streams[i].detached) hang_up(&streams[i]);
}

static struct stream *find(uint32_t id) {
  for (int i = 0; i < MAX_STREAMS; i++)
    if (streams[i].used && !streams[i].detached && streams[i].id == id) return &streams[i];
  return NULL;
}

static void watch(struct stream *s, int which, uint32_t events) {
  struct epoll_event event = {.events = events | EPOLLET,
                              .data.u64 = poller_mark | (uint32_t)((s - streams) << 2 | which)};
  fcntl(s->fds[which], F_SETFL, O_NONBLOCK | fcntl(s->fds[which], F_GETFL));
  epoll_ctl(poller, EPOLL_CTL_ADD, s->fds[which], &event);
}

void streams_event(uint32_t key, uint32_t events) {
  struct stream *s = &streams[key >> 2 & (MAX_STREAMS - 1)];
  int which = key & 3;
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) s->ready[which == IN ? OUT : which] = 1;
  if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) s->ready[IN] = 1;
}

/* The child's side of a new stream: descriptors in place, a session of its own. */
static void become(const struct stream_spec *spec, const int fds[3]) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  setsid();
  for (int i = 0; i < 3; i++) dup2(fds[i], i);
  if (spec->tty) ioctl(0, TIOCSCTTY, 0);
  exec_spec(spec);
}

static int start_process(struct stream *s, const struct stream_spec *spec) {
  int mine[3] = {-1, -1, -1}, theirs[3] = {-1, -1, -1}, pair[2];
  if (spec->tty) {
    struct winsize size = {.ws_row = spec->rows, .ws_col = spec->cols};
    if (openpty(&mine[IN], &theirs[IN], NULL, NULL, &size)) return -1;
    fcntl(mine[IN], F_SETFD, FD_CLOEXEC);
    fcntl(theirs[IN], F_SETFD, FD_CLOEXEC);
    mine[OUT] = mine[IN];
    theirs[OUT] = theirs[ERR] = theirs[IN];
    s->is_tty = 1;
  } else {
    for (int i = IN; i <= ERR; i++) {
      if (i == IN && !spec->with_stdin) {
        theirs[IN] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        continue;
      }
      if (pipe2(pair, O_CLOEXEC)) continue;
      mine[i] = pair[i == IN];
      theirs[i] = pair[i != IN];
    }
  }
  pid_t pid = theirs[IN] < 0 || theirs[OUT] < 0 || theirs[ERR] < 0 ? -1 : fork();
  if (pid == 0) {
    // Descriptors 0 to 2 are this program's own; none of these is one of them.
    become(spec, theirs);
  }
  int error = errno;
  for (int i = IN; i <= ERR; i++)
    if (theirs[i] >= 0 && (i == IN || theirs[i] != theirs[IN])) close(theirs[i]);
  memcpy(s->fds, mine, sizeof mine);
  errno = error;
  if (pid < 0) return -1;
  s->pid = pid;
  if (s->is_tty) watch(s, IN, EPOLLIN | EPOLLOUT);
  else {
    if (mine[IN] >= 0) watch(s, IN, EPOLLOUT);
    watch(s, OUT, EPOLLIN);
    watch(s, ERR, EPOLLIN);
  }
  return 0;
}

/* A program that listens in the guest, be it on its loopback only. */
static int start_connection(struct stream *s, const struct stream_spec *spec) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
  if (fd < 0) return -1;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(spec->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  s->fds[IN] = s->fds[OUT] = fd;
  s->is_socket = 1;
  if (connect(fd, (struct sockaddr *)&to, sizeof to)) {
    if (errno != EINPROGRESS) return -1;
    s->connecting = 1;
  }
  watch(s, IN, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
  return 0;
}

static const char *take_text(struct stream_spec *spec, const char *key, char *value) {
  if (!strcmp(key, "kind")) spec->kind = value;
  else if (!strcmp(key, "arg") && spec->arg_count < 1024) spec->args[spec->arg_count++] = value;
  else if (!strcmp(key, "env") && spec->env_count < 1024) spec->env[spec->env_count++] = value;
  else if (!strcmp(key, "cwd")) spec->cwd = value;
  else if (!strcmp(key, "user")) spec->user = value;
  else if (!strcmp(key, "path")) spec->path = value;
  else if (!strcmp(key, "tty")) spec->tty = atoi(value);
  else if (!strcmp(key, "stdin")) spec->with_stdin = atoi(value);
  else if (!strcmp(key, "rows")) spec->rows = atoi(value);
  else if (!strcmp(key, "cols")) spec->cols = atoi(value);
  else if (!strcmp(key, "port")) spec->port = atoi(value);
  else return key;
  return NULL;
}

/* What cannot be opened ends at once; why, the END says. */
static void open_stream(uint32_t id, char *text, size_t length) {
  static struct stream_spec spec;
  char why[128] = "";
  memset(&spec, 0, sizeof spec);
  for (char *at = text, *end = text + length; at < end; at += strlen(at) + 1) {
    char *equals = strchr(at, '=');
    if (!equals) break;
    *equals = 0;
    const char *unknown = take_text(&spec, at, equals + 1);
    if (unknown) snprintf(why, sizeof why, "the guest does not know %.40s", unknown);
    at = equals + 1;
  }
  struct stream *s = NULL;
  for (int i = 0; i < MAX_STREAMS && !s; i++)
    if (!streams[i].used) s = &streams[i];
  int is_tree = spec.kind && strstr(spec.kind, "_tree");
  if (!spec.kind || (is_tree && !spec.path)) snprintf(why, sizeof why, "it does not say what to open");
  else if (!s) snprintf(why, sizeof why, "%d streams are open in the guest", MAX_STREAMS);
  if (why[0]) {
    send_end(id, "error", why);
    return;
  }
  memset(s, 0, sizeof *s);
  s->used = 1;
  s->id = id;
  s->credit = FIRST_CREDIT;
  s->window = WINDOW;
  s->fds[IN] = s->fds[OUT] = s->fds[ERR] = -1;
  int failed;
  if (!strcmp(spec.kind, "connect")) failed = start_connection(s, &spec);
  else failed = start_process(s, &spec);
  if (!failed) return;
  send_end(id, "error", strerror(errno));
  drop(s);
}

static void return_credit(struct stream *s, uint32_t amount) {
  s->to_return += amount;
  unsigned char *at = s->to_return < RETURN_CREDIT_AT || s->detached ? NULL : agent_frame(HEAD + 4);
  if (!at) return;
  head(at, CREDIT, s->id);
  put32(at + HEAD, s->to_return);
  agent_frame_done(HEAD + 4);
  s->window += s->to_return;
  s->to_return = 0;
}

static void end_input(struct stream *s) {
  if (s->is_socket && s->fds[IN] >= 0) shutdown(s->fds[IN], SHUT_WR);
  // The other end of a terminal is not to be closed: it reads an end of file as a character.
  if (s->is_tty && s->fds[IN] >= 0 && write(s->fds[IN], "\4", 1) < 0) return;
  close_one(s, IN);
}

/* Passes on what waits; drops it when the descriptor is closed. */
static void feed(struct stream *s) {
  while (s->queue_used > 0) {
    ssize_t n = s->fds[IN] < 0 ? (ssize_t)s->queue_used : write(s->fds[IN], s->queue, s->queue_used);
    if (n < 0 && errno == EAGAIN) {
      s->ready[IN] = 0;
      return;
    }
    if (n < 0) {
      close_one(s, IN);
      continue;
    }
    s->queue_used -= n;
    memmove(s->queue, s->queue + n, s->queue_used);
    return_credit(s, n);
  }
  free(s->queue);
  s->queue = NULL;
  if (s->in_ended && s->fds[IN] >= 0) end_input(s);
}

/* -1: the host has sent more than it may. */
static int take_data(struct stream *s, const unsigned char *bytes, size_t length) {
  uint32_t cost = cost_of(length);
  if (cost > s->window || s->queue_used + length > WINDOW) return -1;
  s->window -= cost;
  if (s->in_ended) return 0;
  if (!s->queue && !(s->queue = malloc(WINDOW))) return -1;
  memcpy(s->queue + s->queue_used, bytes, length);
  s->queue_used += length;
  if (cost > length) return_credit(s, cost - length);
  if (!s->connecting) feed(s);
  return 0;
}

void streams_frame(const unsigned char *body, size_t length) {
  if (length < HEAD) return;
  uint32_t id = get32(body + 1);
  const unsigned char *rest = body + HEAD;
  size_t size = length - HEAD;
  if (body[0] == OPEN) {
    // The agent has put a zero behind the frame.
    if (!find(id)) open_stream(id, (char *)rest, size);
    return;
  }
  struct stream *s = find(id);
  if (!s) return;
  switch (body[0]) {
    case DATA:
      if (size < 1 || !take_data(s, rest + 1, size - 1)) return;
      send_end(id, "error", "more data came than there was room for");
      hang_up(s);
      return;
    case END_OF_DATA:
      s->in_ended = 1;
      if (!s->connecting) feed(s);
      return;
    case CREDIT:
      if (size >= 4) s->credit += get32(rest);
      return;
    case RESIZE: {
      struct winsize now = {.ws_row = size >= 4 ? rest[0] << 8 | rest[1] : 0, .ws_col = size >= 4 ? rest[2] << 8 | rest[3] : 0};
      if (s->is_tty && s->fds[OUT] >= 0) ioctl(s->fds[OUT], TIOCSWINSZ, &now);
      return;
    }
    case SIGNAL:
      if (size >= 1 && s->pid > 0 && !s->exited && rest[0] > 0 && rest[0] <= 64) kill(-s->pid, rest[0]);
      return;
    case CLOSE:
      s->closing = size >= 1 && rest[0] == 1 && s->pid > 0 ? DETACH : HANG_UP;
      return;
  }
}


static int has_output(const struct stream *s, int which) { return s->fds[which] >= 0 && s->ready[which]; }

/* Reads one piece of output. 1: there may be more. */
static int read_output(struct stream *s, int which) {
  static unsigned char nowhere[4096];
  if (!has_output(s, which)) return 0;
  ssize_t n;
  if (s->detached) n = read(s->fds[which], nowhere, sizeof nowhere);
  else {
    if (s->credit < LEAST_COST) return 0;
    size_t most = s->credit < MAX_DATA ? s->credit : MAX_DATA;
    unsigned char *at = agent_frame(HEAD + 1 + most);
    if (!at) return 0;
    n = read(s->fds[which], at + HEAD + 1, most);
    if (n > 0) {
      head(at, DATA, s->id);
      at[HEAD] = which;
      agent_frame_done(HEAD + 1 + n);
      s->credit -= cost_of(n);
    }
  }
  if (n > 0) return 1;
  if (n < 0 && errno == EINTR) return 1;
  s->ready[which] = 0;
  // A terminal that no process has open any more says EIO.
  if (n == 0 || errno != EAGAIN) close_one(s, which);
  return 0;
}

static void finish_connecting(struct stream *s) {
  int error = 0;
  socklen_t size = sizeof error;
  if (!s->ready[IN]) return;
  getsockopt(s->fds[IN], SOL_SOCKET, SO_ERROR, &error, &size);
  s->connecting = 0;
  if (error == 0) {
    feed(s);
    return;
  }
  if (send_end(s->id, "error", strerror(error))) s->connecting = 1;
  else drop(s);
}

/* Each direction of a connection ends by itself. */
static void finish_connection(struct stream *s) {
  if (s->fds[OUT] >= 0) return;
  unsigned char *at = s->out_ended ? NULL : agent_frame(HEAD + 1);
  if (at) {
    head(at, END_OF_DATA, s->id);
    at[HEAD] = OUT;
    agent_frame_done(HEAD + 1);
    s->out_ended = 1;
  }
  if (s->out_ended && s->fds[IN] < 0 && !send_end(s->id, "code", "0")) drop(s);
}

static void finish(struct stream *s) {
  char code[16];
  if (s->is_socket) {
    finish_connection(s);
    return;
  }
  if (!s->exited || has_output(s, OUT) || has_output(s, ERR)) return;
  int killed = WIFSIGNALED(s->status);
  snprintf(code, sizeof code, "%d", killed ? WTERMSIG(s->status) : WEXITSTATUS(s->status));
  if (s->detached || !send_end(s->id, killed ? "signal" : "code", code)) drop(s);
}

/* The host learns that the stream is over: then it may use its number again. */
static void leave(struct stream *s) {
  if (send_end(s->id, "code", "0")) return;
  if (s->closing == HANG_UP) hang_up(s);
  else {
    s->detached = 1;
    s->closing = 0;
  }
}

void streams_pump(void) {
  for (int more = 1; more;) {
    more = 0;
    for (int i = 0; i < MAX_STREAMS; i++) {
      struct stream *s = &streams[i];
      if (s->closing) leave(s);
      if (!s->used) continue;
      if (s->connecting) finish_connecting(s);
      if (!s->used || s->connecting) continue;
      if (s->queue_used > 0 && s->ready[IN]) feed(s);
      if (s->to_return >= RETURN_CREDIT_AT) return_credit(s, 0);
      // One piece of each in turn: none waits for the end of another's flood.
      more |= read_output(s, OUT) | read_output(s, ERR);
      finish(s);
    }
  }
}

void streams_child_ended(pid_t pid, int status) {
  for (int i = 0; i < MAX_STREAMS; i++) {
    struct stream *s = &streams[i];
    if (!s->used || s->pid != pid) continue;
    s->exited = 1;
    s->status = status;
    // What it has written is there: it is read until there is no more, even if a child of it keeps the descriptor open.
    for (int which = OUT; which <= ERR; which++) s->ready[which] = s->fds[which] >= 0;
  }
}
