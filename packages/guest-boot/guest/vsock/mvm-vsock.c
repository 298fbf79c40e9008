/*
 * mvm-vsock PROGRAM: for guests whose host comes over vsock. Runs PROGRAM for each connection to port 1024, which is its
 * descriptor 3. The host has one connection at a time: a new one ends the program of the last.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define VSOCK_PORT 1024
#define ANY_CID 0xffffffff
#define CHANNEL_FD 3

/* Source: Linux, include/uapi/linux/vm_sockets.h, which musl does not bring. */
struct vsock_address {
  sa_family_t family;
  uint16_t reserved;
  uint32_t port, cid;
  uint8_t zero[4];
};

static void run(char **program, int connection) {
  setsid();
  signal(SIGCHLD, SIG_DFL);
  // A copy outlives the program's start, which the connection itself does not.
  int copy = dup(connection);
  if (copy < 0 || dup2(copy, CHANNEL_FD) < 0) _exit(126);
  if (copy != CHANNEL_FD) close(copy);
  setenv("MVM_AGENT_CHANNEL", "vsock", 1);
  execv(program[0], program);
  _exit(127);
}

int main(int count, char **arguments) {
  struct vsock_address any = {.family = AF_VSOCK, .port = VSOCK_PORT, .cid = ANY_CID};
  int listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (count < 2) return 2;
  if (listener < 0 || bind(listener, (struct sockaddr *)&any, sizeof any) || listen(listener, 4)) {
    // Nobody can reach this guest, which works without.
    for (;;) pause();
  }
  signal(SIGCHLD, SIG_IGN);
  for (pid_t child = 0;;) {
    int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0) {
      if (errno != EINTR) sleep(1);
      continue;
    }
    if (child > 0) kill(-child, SIGKILL);
    child = fork();
    if (child == 0) run(arguments + 1, connection);
    close(connection);
  }
}
