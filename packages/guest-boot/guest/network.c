#define _GNU_SOURCE
#include "init.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void set_address(struct sockaddr *where, in_addr_t address) {
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = address};
  memcpy(where, &in, sizeof in);
}

static int bring_up(int fd, const char *name) {
  struct ifreq request = {0};
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  if (ioctl(fd, SIOCGIFFLAGS, &request)) return -1;
  request.ifr_flags |= IFF_UP;
  return ioctl(fd, SIOCSIFFLAGS, &request);
}

/* The interface is the one that has the configured MAC. */
static int find_interface(char *name, size_t size) {
  char path[512], mac[64];
  DIR *dir = opendir("/sys/class/net");
  if (!dir) return -1;
  int result = -1;
  for (struct dirent *entry; result && (entry = readdir(dir));) {
    snprintf(path, sizeof path, "/sys/class/net/%s/address", entry->d_name);
    if (read_file(path, mac, sizeof mac) < 0 || strcasecmp(mac, identity.mac)) continue;
    snprintf(name, size, "%s", entry->d_name);
    result = 0;
  }
  closedir(dir);
  return result;
}

void set_up_network(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  bring_up(fd, "lo");
  if (identity.hostname[0] && sethostname(identity.hostname, strlen(identity.hostname))) say("cannot set the host name");
  struct ifreq request = {0};
  char address[32];
  snprintf(address, sizeof address, "%s", identity.address);
  char *slash = strchr(address, '/');
  if (!slash || find_interface(request.ifr_name, sizeof request.ifr_name)) {
    if (identity.mac[0]) say("no network interface with the address %s", identity.mac);
    close(fd);
    return;
  }
  *slash = 0;
  int bits = atoi(slash + 1);
  int failed = 0;
  if (identity.mtu[0]) {
    request.ifr_mtu = atoi(identity.mtu);
    failed |= ioctl(fd, SIOCSIFMTU, &request);
  }
  set_address(&request.ifr_addr, inet_addr(address));
  failed |= ioctl(fd, SIOCSIFADDR, &request);
  set_address(&request.ifr_netmask, bits == 0 ? 0 : htonl(~0u << (32 - bits)));
  failed |= ioctl(fd, SIOCSIFNETMASK, &request);
  failed |= bring_up(fd, request.ifr_name);
  if (identity.gateway[0]) {
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
    set_address(&route.rt_gateway, inet_addr(identity.gateway));
    set_address(&route.rt_dst, INADDR_ANY);
    set_address(&route.rt_genmask, INADDR_ANY);
    failed |= ioctl(fd, SIOCADDRT, &route);
  }
  if (failed) say("cannot set up the network");
  close(fd);
}

/* What every container gets. /etc/resolv.conf stays the image's when nothing names a server. */
void write_network_files(void) {
  char text[2048], address[32];
  mkdir("/etc", 0755);
  snprintf(address, sizeof address, "%s", identity.address);
  address[strcspn(address, "/")] = 0;
  if (identity.hostname[0]) {
    snprintf(text, sizeof text, "127.0.0.1\tlocalhost\n::1\tlocalhost\n%s\t%s\n", address, identity.hostname);
    write_file("/etc/hosts", text);
    snprintf(text, sizeof text, "%s\n", identity.hostname);
    write_file("/etc/hostname", text);
  }
  int used = 0;
  char servers[sizeof identity.dns];
  snprintf(servers, sizeof servers, "%s", identity.dns);
  for (char *server = strtok(servers, ", "); server; server = strtok(NULL, ", "))
    used += snprintf(text + used, sizeof text - used, "nameserver %s\n", server);
  for (int i = 0; used == 0 && i < run.dns_count && i < 3; i++)
    used += snprintf(text + used, sizeof text - used, "nameserver %s\n", run.dns[i]);
  if (used > 0) write_file("/etc/resolv.conf", text);
}

static uint16_t checksum(const void *data, size_t length) {
  const uint16_t *words = data;
  uint32_t sum = 0;
  for (size_t i = 0; i < length / 2; i++) sum += words[i];
  sum = (sum >> 16) + (sum & 0xffff);
  return ~(sum + (sum >> 16));
}

/* Whether the gateway answers one of three pings within a second each. */
int ping_gateway(void) {
  int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
  if (fd < 0) return -1;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(identity.gateway)};
  int result = -1;
  for (int try = 1; result && try <= 3; try++) {
    struct icmphdr echo = {.type = ICMP_ECHO, .un.echo = {.id = htons(0x6d76), .sequence = htons(try)}};
    echo.checksum = checksum(&echo, sizeof echo);
    if (sendto(fd, &echo, sizeof echo, 0, (struct sockaddr *)&to, sizeof to) < 0) {
      usleep(100000);
      continue;
    }
    for (int64_t end = now_ms() + 1000, left; result && (left = end - now_ms()) > 0;) {
      struct pollfd wait = {.fd = fd, .events = POLLIN};
      unsigned char packet[512];
      if (poll(&wait, 1, left) <= 0) break;
      ssize_t length = recv(fd, packet, sizeof packet, 0);
      size_t head = length > 0 ? (packet[0] & 15) * 4 : 0;
      if (length >= (ssize_t)(head + sizeof echo) && packet[head] == ICMP_ECHOREPLY &&
          !memcmp(packet + head + 4, &echo.un.echo.id, 2))
        result = 0;
    }
  }
  close(fd);
  return result;
}
