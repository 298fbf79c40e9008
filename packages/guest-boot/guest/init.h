/* The first program of a guest that runs an OCI image, and the guest's agent. See docs/images.md#inside-the-guest. */
#ifndef MVM_INIT_H
#define MVM_INIT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MAX_LIST 512

/* How the image wants to be run: /run.conf of the initrd, keys and values of docs/images.md#inside-the-guest. */
struct run {
  char *args[MAX_LIST + 1];
  char *env[MAX_LIST + 1];
  char *volumes[MAX_LIST + 1];
  char *dns[MAX_LIST + 1];
  gid_t groups[MAX_LIST];
  int arg_count, env_count, volume_count, dns_count, group_count;
  const char *cwd;
  uid_t uid;
  gid_t gid;
  int stop_signal;
  int stop_timeout_ms;
  /* The image brings an init system of its own, which becomes process 1. */
  int hands_over;
  /* Nothing is to be run: the guest waits for what its operator runs in it. */
  int idle;
  /* `user[:group]` that the pool wants in place of the image's; NULL: the image's. */
  const char *user;
  struct {
    char *args[MAX_LIST + 1];
    int arg_count, interval_ms, timeout_ms, retries, start_period_ms;
    /* The guest shuts down when its check has failed. */
    int stops;
  } health;
};

/* Who a program runs as. */
struct account {
  uid_t uid;
  gid_t gid;
  gid_t groups[MAX_LIST];
  int group_count;
  char home[256];
};

/* Who the guest is: config.env of the drive that the host makes at every start. Empty where the host says nothing. */
struct identity {
  char tenant[64], pool[64], instance[64], hostname[65];
  char address[32], gateway[32], mac[32], mtu[16], dns[256];
};

extern struct run run;
extern struct identity identity;

/* util.c */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
int read_file(const char *path, char *buffer, size_t size);
/* The value of `key=` on the kernel's command line; -1 without it. */
int boot_option(const char *key, char *value, size_t size);
int write_file(const char *path, const char *text);
int make_dirs(const char *path, mode_t mode);
int64_t now_ms(void);
int copy_tree(const char *from, const char *to);

/* config.c */
int read_run(const char *path);
/* What the pool wants in place of it; 0 without any. -1: it cannot be read, or names a user that the guest has not. */
int read_overrides(const char *path);
int read_identity(const char *path);

/* mounts.c */
void mount_kernel_file_systems(void);
void load_modules(void);
int find_drive(const char *serial, char *path, size_t size);
int enter_root(void);
void mount_in_root(void);
void mount_run(void);
void restore_root_time(void);
int read_config_drive(void);
int read_secrets_drive(void);
void mount_data(void);
void unmount_data(void);

/* network.c */
void set_up_network(void);
void write_network_files(void);
int ping_gateway(void);

/* account.c */
/* The account of `user`, `user:group`, names or numbers, by the guest's own files; what is missing is in `unknown`. */
int find_account(const char *wanted, struct account *account, char *unknown, size_t size);

/* health.c */
void health_begin(void);
/* Milliseconds until there is something to do; -1: there is not. */
int health_wait_ms(void);
/* Starts a check, or ends one that takes too long. */
void health_tick(void);
/* Whether the guest is to stop because of it. */
int health_child_ended(pid_t pid, int status);
/* none, starting, healthy or unhealthy. */
const char *health_status(void);

/* process.c */
/* In a child: the user, directory and environment of the image. Ends the child where that fails. */
void become_image_user(void);
pid_t start_main(void);
void exec_main(void) __attribute__((noreturn));

/* agent.c */
/* A descriptor to wait on for these events, or -1: the host has no way to us. */
int agent_open(uint32_t *events);
/* Reads what has come and answers it; to be called when the descriptor has news, and after agent_child_ended. */
void agent_serve(void);
/* Whether the child was one that an answer waits for. */
int agent_child_ended(pid_t pid, int status);

/* main.c */
/* To be called once the power button is heard: whoever reads it may press it at once. */
void report_ready(void);

/* loop.c */
/*
 * Reaps, answers the host and waits for its power button. `main_pid` is 1 when the image's own init runs there, and 0 when
 * nothing is to be run.
 */
void serve(pid_t main_pid) __attribute__((noreturn));
void power_off(void) __attribute__((noreturn));
/* As if the main process had ended with this code. */
void give_up(int code) __attribute__((noreturn));

#endif
