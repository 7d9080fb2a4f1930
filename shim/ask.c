/* ask.c — can the gate connect there? A program whose host refuses would hear nothing of it from a connect that is led, for the gate's port is open; it would send its
 * request, and hear a reset. So before the first connection to a host the gate is asked, as a proxy is: CONNECT, on a connection of our own that lives as long as the
 * question. It says 200 when it has a connection, else the errno that it had (VCR-Errno).
 *
 * What it said stands in the session's table: that a host can be reached until the gate has trouble with any, that it cannot for a moment only. So a run
 * asks once for each host, and what a network is that has come back is heard at once.
 *
 * A word of reach[]: 0 never asked, else bits 0-15 the port, 16-27 the answer (0 reached, NAMELESS, else errno), 28-34 the index of the name, 35-47 `troubles` of then,
 * 48-62 when, in parts of a second, 63 set. */
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include "shim.h"

enum { NAMELESS = 0xfff, TROUBLES = 0x1fff, PART_NS = 250000000, LASTS = 4 /* parts */, ANSWER = 512 };
#define SET (1ull << 63)

static unsigned now_in_parts(void)
{
	return (unsigned)(vcr_now() / PART_NS) & 0x7fff;
}

static unsigned troubles(const struct vcr_lead_block *g)
{
	return vcr_load(&g->troubles) & TROUBLES;
}

/* Does that word still hold for that place? */
static bool holds(const struct vcr_lead_block *g, uint64_t word, int index, unsigned port)
{
	if (!(word & SET) || (word & 0xffff) != port || (int)(word >> 28 & 0x7f) != index)
		return false;
	bool reached = !(word >> 16 & NAMELESS);
	return reached ? (word >> 35 & TROUBLES) == troubles(g) : ((now_in_parts() - (word >> 48)) & 0x7fff) <= LASTS;
}

static int said_by(uint64_t word)
{
	int answer = (int)(word >> 16 & NAMELESS);
	return answer == NAMELESS ? VCR_ASK_UNKNOWN_NAME : answer;
}

/* ---- The question ---- */

static bool set_limit(int fd, int ms)
{
	struct timeval t = { ms / 1000, ms % 1000 * 1000 };
	return !vcr_call6(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, (long)&t, sizeof t, 0) && !vcr_call6(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, (long)&t, sizeof t, 0);
}

static bool send_question(int fd, const char *name, unsigned port)
{
	char text[VCR_LEAD_NAME + 64];
	bool v6 = strchr(name, ':');
	char *end = vcr_format(vcr_format(vcr_format(vcr_format(text, "CONNECT "), v6 ? "[" : ""), name), v6 ? "]:" : ":");
	end = vcr_format(vcr_format_number(end, port, 1), " HTTP/1.1\r\n\r\n");
	return vcr_call6(SYS_sendto, fd, (long)text, end - text, MSG_NOSIGNAL, 0, 0) == end - text;
}

/* The number behind VCR-Errno; -1: none. */
static int errno_of(const char *answer)
{
	static const char field[] = "VCR-Errno: ";
	const char *at = strstr(answer, field);
	int n = at ? 0 : -1;
	for (at = at ? at + sizeof field - 1 : answer; n >= 0 && *at >= '0' && *at <= '9' && n < 1000; at++)
		n = n * 10 + (*at - '0');
	return n;
}

/* The head of the answer, as the word has it. A signal ends the wait; who sends one means to. */
static int read_answer(int fd)
{
	char text[ANSWER + 1];
	size_t n = 0;
	*text = 0;
	while (n < ANSWER && !strstr(text, "\r\n\r\n")) {
		long k = vcr_call6(SYS_recvfrom, fd, (long)(text + n), (long)(ANSWER - n), 0, 0, 0);
		if (k <= 0)
			return 0;
		text[n += (size_t)k] = 0;
	}
	int error = strncmp(text, "HTTP/1.1 502", 12) ? -1 : errno_of(text);
	return error < 0 || error >= NAMELESS ? 0 : error ? error : NAMELESS;
}

static int put_question(struct vcr_lead_block *g, int index, const char *name, unsigned port, int ms)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)vcr_load(&g->port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = (int)vcr_call3(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), answer = 0;
	if (fd < 0)
		return 0;
	if (set_limit(fd, ms) && !vcr_call3(SYS_connect, fd, (long)&to, sizeof to)) {
		vcr_lead_say(g, fd, false, index, true, port);
		if (send_question(fd, name, port))
			answer = read_answer(fd);
	}
	raw_close(fd);
	return answer;
}

int vcr_ask(struct vcr_lead_block *g, int index, const char *name, unsigned port, int ms)
{
	uint64_t *at = &g->reach[index % VCR_LEAD_REACHES], word = vcr_load(at);
	if (vcr_likely(holds(g, word, index, port)))
		return said_by(word);
	if (vcr_self.sandboxed || vcr_guest())
		return 0;
	vcr_say_process(vcr_spool_mapped()); /* before the gate speaks of it */
	unsigned before = troubles(g);
	uint64_t answer = (uint64_t)put_question(g, index, name, port, ms);
	word = port | answer << 16 | (uint64_t)index << 28 | (uint64_t)before << 35 | (uint64_t)now_in_parts() << 48 | SET;
	vcr_store(at, word);
	return said_by(word);
}
