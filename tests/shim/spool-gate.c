/* spool-gate — the part of a gate that has to do with the spool, for a stand-in gate in a test: makes a spool, says in its header where that gate is,
 * and is asked by it, a line at a time. It counts as the gate's process: the gate is dead when it is.
 *
 *   spool-gate FLAGS PORT CA EXTRA HOST...     FLAGS: letters r replay, 6 also on ::1, u only untapped programs, - none. Prints the spool's path.
 *
 *   4 PORT | 6 PORT    whence does the connection come: prints "HOST name:port", "PROXY" or "UNKNOWN"
 *   counts             prints "DIRECT n REFUSED n LED n"; LED: words not taken
 *   scribble           fills the block's tables with what no honest process writes
 *   end                the gate has ended */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "lead.h"
#include "spool.h"

static struct vcr_spool_header *map(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	void *p = fd < 0 ? MAP_FAILED : mmap(NULL, VCR_SPOOL_HEADER, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

static void tell(struct vcr_spool_header *h, int family, int port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	char host[VCR_GATE_HOST] = "";
	int pid = 0;
	switch (vcr_lead_meant(h, family == 6 ? (void *)&v6 : (void *)&v4, host, &pid)) {
	case VCR_MEANT_HOST: printf("HOST %s\n", host); break;
	case VCR_MEANT_PROXY: puts("PROXY"); break;
	default: puts("UNKNOWN");
	}
}

static void counts(const struct vcr_spool_header *h)
{
	int led = 0;
	for (int i = 0; i < VCR_LEAD_PORTS; i++)
		led += h->gate.led[i] != 0;
	printf("DIRECT %llu REFUSED %llu LED %d\n", (unsigned long long)h->gate.went_direct, (unsigned long long)h->gate.refused, led);
}

static void scribble(struct vcr_spool_header *h)
{
	memset(h->gate.led, 0xff, sizeof h->gate.led);
	memset(h->gate.hosts, 'a', sizeof h->gate.hosts);
	for (int i = 0; i < VCR_LEAD_NAMES; i++) {
		memset(h->gate.name[i].text, '*', sizeof h->gate.name[i].text);
		h->gate.name[i].state = VCR_LEAD_NAME_SET;
	}
	memset(h->gate.ca, '/', sizeof h->gate.ca);
	memset(h->gate.extra, '/', sizeof h->gate.extra);
	puts("done");
}

int main(int argc, char **argv)
{
	struct vcr_error e = { 0 };
	char *path, line[100];
	if (argc < 5)
		return 2;
	struct vcr_spool_make make = { .session_id = "gate", .start_dir = "/", .workspace = "/nonexistent", .vcr_dir = "/nonexistent/.vcr", .flags = VCR_SPOOL_BY_RECORD };
	struct vcr_lead_options o = { .port = atoi(argv[2]), .v6 = strchr(argv[1], '6'), .replay = strchr(argv[1], 'r'), .untapped_only = strchr(argv[1], 'u'),
		.token = "0123456789abcdef", .ca = argv[3], .bundle = argv[3], .extra = argv[4], .hosts = (const char *const *)argv + 5 };
	struct vcr_spool_header *h = vcr_spool_create(&make, &path, &e) ? NULL : map(path);
	if (!h || vcr_lead_publish(h, &o, &e)) {
		fprintf(stderr, "spool-gate: %s\n", e.what);
		return 1;
	}
	h->base_ready = 1;
	h->collector = VCR_COLLECTOR_RUNNING;
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts(path);
	while (fgets(line, sizeof line, stdin))
		if (*line == '4' || *line == '6')
			tell(h, *line - '0', atoi(line + 1));
		else if (!strncmp(line, "counts", 6))
			counts(h);
		else if (!strncmp(line, "scribble", 8))
			scribble(h);
		else if (!strncmp(line, "end", 3))
			vcr_lead_retract(h), puts("done");
	return 0;
}
