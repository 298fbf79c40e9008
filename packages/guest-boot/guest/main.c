#define _GNU_SOURCE
#include "init.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Code of docker: the command cannot be run. */
#define CANNOT_RUN 126

void report_ready(void) {
  char boot_id[64] = "";
  read_file("/proc/sys/kernel/random/boot_id", boot_id, sizeof boot_id);
  const char *ping = identity.gateway[0] == 0 ? "none" : ping_gateway() == 0 ? "ok" : "failed";
  say("ready tenant=%s pool=%s instance=%s address=%s gateway=%s gateway_ping=%s boot_id=%s", identity.tenant,
      identity.pool, identity.instance, identity.address, identity.gateway, ping, boot_id);
}

int main(void) {
  // Signals that children send are read from a descriptor; no other one ends process 1.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  mount_kernel_file_systems();
  say("starting");
  if (read_run("/run.conf")) {
    say("no command (run.conf of the initrd)");
    power_off();
  }
  load_modules();
  if (enter_root()) power_off();
  mount_in_root();
  if (read_config_drive() || read_identity("/run/mvm/config/config.env"))
    say("no configuration (a virtio drive with serial \"config\" that holds config.env)");
  int has_run = run.hands_over;
  if (read_overrides("/run/mvm/config/run.conf")) give_up(CANNOT_RUN);
  if (run.hands_over && !has_run) {
    mount_run();
    read_config_drive();
  }
  if (read_secrets_drive()) say("cannot read the secrets drive");
  mount_data();
  set_up_network();
  write_network_files();
  restore_root_time();
  if (run.hands_over) {
    pid_t agent = fork();
    if (agent != 0) exec_main();
    setsid();
    prctl(PR_SET_NAME, "mvm-agent");
    serve(1);
  }
  pid_t pid = run.idle ? 0 : start_main();
  if (pid < 0) power_off();
  serve(pid);
}
