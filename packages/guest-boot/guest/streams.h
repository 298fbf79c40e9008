/*
 * Streams into the guest: programs, connections to its own ports, copies of trees. They share the agent's channel with
 * its requests. See docs/guest-streams.md.
 */
#ifndef MVM_STREAMS_H
#define MVM_STREAMS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MAX_STREAMS 32
/* First byte of a frame's body. A JSON text begins with none of them. */
enum frame_type { OPEN = 1, DATA, END_OF_DATA, CREDIT, RESIZE, SIGNAL, END, CLOSE };

/* What a stream shall be: the records `key=value` of its OPEN frame. The texts point into the frame. */
struct stream_spec {
  const char *kind, *cwd, *user, *path;
  char *args[1025];
  char *env[1025];
  int arg_count, env_count;
  int tty, with_stdin, rows, cols, port;
};

/* streams.c */
void streams_watch(int poller, uint64_t mark);
/* A descriptor of a stream has news. `key` is the lower half of the event's data. */
void streams_event(uint32_t key, uint32_t events);
/* A frame's body that is no JSON. */
void streams_frame(const unsigned char *body, size_t length);
/* Moves bytes as far as descriptors, credit and the channel allow. */
void streams_pump(void);
void streams_child_ended(pid_t pid, int status);
/* The host's connection has ended: its streams end with it. */
void streams_reset(void);

/* exec.c: in the child, whose descriptors 0 to 2 are in place. */
void exec_spec(const struct stream_spec *spec) __attribute__((noreturn));

/* tree.c: in a child as well. */
void send_tree(const char *path) __attribute__((noreturn));
void receive_tree(const char *path) __attribute__((noreturn));

/* agent.c */
/* Where a frame of up to `size` bytes after its length may be written; NULL while the channel is full. */
unsigned char *agent_frame(size_t size);
/* Sends the frame that was written there. */
void agent_frame_done(size_t size);

#endif
