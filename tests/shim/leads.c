/* leads.c — a program in a session with a gate in replay: calls each hook that leads or refuses, where $WHERE says (where.h), and looks at what comes of it.
 *
 *   leads GATE_PORT     Says what is not as it should be. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <resolv.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include "where.h"

static const char MODEL[] = "Api.OpenAI.com", ELSE[] = "unlisted.example.org";
static int gate_port, wrong;

#define MUST(what) do { if (!(what)) { dprintf(2, "leads: line %d: %s (errno %s)\n", __LINE__, #what, strerror(errno)); wrong = 1; } } while (0)

/* ---- Names ---- */

static struct sockaddr_storage address_of(const char *name, int family, const char *service, int *r)
{
	struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *found = NULL;
	struct sockaddr_storage a = { 0 };
	*r = getaddrinfo(name, service, &hints, &found);
	if (*r == 0) {
		memcpy(&a, found->ai_addr, found->ai_addrlen);
		freeaddrinfo(found);
	}
	return a;
}

static int stands(const void *in_addr)
{
	const unsigned char *ip = in_addr;
	return ip[0] == 127 && ip[1] == 77 && ip[2] == 0 && ip[3] >= 1;
}

static void led_names(void)
{
	int r, why;
	struct addrinfo *found = NULL;
	struct sockaddr_storage a = address_of(MODEL, AF_INET, "443", &r), b = address_of(MODEL, AF_INET6, "443", &r);
	struct hostent h, *is, *hp;
	char buf[1024], name[100], service[20];
	MUST(r == 0 && stands(&((struct sockaddr_in *)&a)->sin_addr));
	MUST(b.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&((struct sockaddr_in6 *)&b)->sin6_addr) && stands((char *)&((struct sockaddr_in6 *)&b)->sin6_addr + 12));
	MUST(getaddrinfo("api.openai.com.", NULL, NULL, &found) == 0 && stands(&((struct sockaddr_in *)(void *)found->ai_addr)->sin_addr));
	freeaddrinfo(found);
	MUST((is = gethostbyname(MODEL)) && stands(is->h_addr_list[0]));
	MUST((is = gethostbyname2(MODEL, AF_INET)) && stands(is->h_addr_list[0]));
	MUST(gethostbyname_r(MODEL, &h, buf, sizeof buf, &hp, &why) == 0 && hp && stands(hp->h_addr_list[0]));
	MUST(gethostbyname2_r(MODEL, AF_INET, &h, buf, sizeof buf, &hp, &why) == 0 && hp && stands(hp->h_addr_list[0]));
	MUST(getnameinfo((void *)&a, sizeof(struct sockaddr_in), name, sizeof name, service, sizeof service, NI_NUMERICSERV) == 0 && !strcmp(name, "api.openai.com") && !strcmp(service, "443"));
	MUST(getnameinfo((void *)&a, sizeof(struct sockaddr_in), name, 5, NULL, 0, 0) == EAI_OVERFLOW);
}

static void refused_names(void)
{
	int r, why;
	struct hostent h, *hp = &h;
	unsigned char question[40] = { 0 }, answer[512];
	struct sockaddr_in far = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0xcb007101) };
	char buf[1024], name[100];
	struct __res_state state = { 0 };
	address_of(ELSE, AF_UNSPEC, "80", &r);
	MUST(r == EAI_NONAME);
	MUST(!gethostbyname(ELSE) && h_errno == HOST_NOT_FOUND);
	MUST(!gethostbyname2(ELSE, AF_INET6));
	MUST(gethostbyname_r(ELSE, &h, buf, sizeof buf, &hp, &why) == 0 && !hp && why == HOST_NOT_FOUND);
	MUST(gethostbyname2_r(ELSE, AF_INET, &h, buf, sizeof buf, &hp, &why) == 0 && !hp);
	MUST(!gethostbyaddr(&far.sin_addr, 4, AF_INET));
	MUST(gethostbyaddr_r(&far.sin_addr, 4, AF_INET, &h, buf, sizeof buf, &hp, &why) == 0 && !hp);
	MUST(getnameinfo((void *)&far, sizeof far, name, sizeof name, NULL, 0, NI_NAMEREQD) == EAI_NONAME);
	MUST(getnameinfo((void *)&far, sizeof far, name, sizeof name, NULL, 0, 0) == 0 && !strcmp(name, "203.0.113.1"));
	MUST(res_query(ELSE, 1, 1, answer, sizeof answer) == -1 && h_errno == TRY_AGAIN);
	MUST(res_search(ELSE, 1, 1, answer, sizeof answer) == -1);
	MUST(res_querydomain("x", ELSE, 1, 1, answer, sizeof answer) == -1);
	MUST(res_send(question, sizeof question, answer, sizeof answer) == -1);
	MUST(res_nquery(&state, ELSE, 1, 1, answer, sizeof answer) == -1);
	MUST(res_nsearch(&state, ELSE, 1, 1, answer, sizeof answer) == -1);
	MUST(res_nquerydomain(&state, "x", ELSE, 1, 1, answer, sizeof answer) == -1);
	MUST(res_nsend(&state, question, sizeof question, answer, sizeof answer) == -1);
	address_of("localhost", AF_INET, "80", &r);
	MUST(r == 0);
	address_of("203.0.113.1", AF_INET, "80", &r);
	MUST(r == 0);
}

/* ---- Connections ---- */

static void ask(int fd, const char *meant)
{
	char text[2000] = "";
	size_t got = 0;
	ssize_t n;
	if (strcmp(meant, "sent"))
		MUST(send(fd, "GET /asked HTTP/1.1\r\n\r\n", 23, MSG_NOSIGNAL) == 23);
	while (got < sizeof text - 1 && (n = recv(fd, text + got, sizeof text - 1 - got, 0)) > 0)
		got += (size_t)n;
	MUST(strstr(text, strcmp(meant, "sent") ? meant : "HOST api.openai.com:80"));
	close(fd);
}

static void led_connections(void)
{
	int r, one = 1;
	struct sockaddr_storage a = address_of(MODEL, AF_INET, "80", &r), b = address_of(MODEL, AF_INET6, "8080", &r);
	struct sockaddr_in peer;
	socklen_t n = sizeof peer;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	MUST(connect(fd, (void *)&a, sizeof(struct sockaddr_in)) == 0 && !getpeername(fd, (void *)&peer, &n) && ntohs(peer.sin_port) == gate_port);
	ask(fd, "HOST api.openai.com:80");
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	MUST(connect(fd, (void *)&b, sizeof(struct sockaddr_in6)) == 0);
	ask(fd, "HOST api.openai.com:8080");
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	MUST(connect(fd, (void *)&b, sizeof(struct sockaddr_in6)) == 0);
	ask(fd, "HOST api.openai.com:8080");
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	MUST(connect(fd, (void *)&a, sizeof(struct sockaddr_in)) == 0 || errno == EINPROGRESS);
	struct pollfd p = { fd, POLLOUT, 0 };
	MUST(poll(&p, 1, 10000) == 1);
	fcntl(fd, F_SETFL, 0);
	ask(fd, "HOST api.openai.com:80");
	fd = socket(AF_INET, SOCK_STREAM, 0);
	MUST(syscall(SYS_connect, fd, &a, sizeof(struct sockaddr_in)) == 0);
	ask(fd, "HOST api.openai.com:80");
	fd = socket(AF_INET, SOCK_STREAM, 0);
	MUST(sendto(fd, "GET /asked HTTP/1.1\r\n\r\n", 23, MSG_FASTOPEN | MSG_NOSIGNAL, (void *)&a, sizeof(struct sockaddr_in)) == 23);
	ask(fd, "sent");
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	MUST(connect(fd, (void *)&a, sizeof(struct sockaddr_in)) == -1 && errno == ECONNREFUSED);
	close(fd);
}

#define GOES_NOWHERE(call) do { errno = 0; MUST((call) == -1 && errno == ENETUNREACH); } while (0)

static void refused_connections(void)
{
	struct sockaddr_in far = { .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(0xcb007101) };
	struct sockaddr_in dns = { .sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(0x7f000035) };
	struct sockaddr_in6 far6 = { .sin6_family = AF_INET6, .sin6_port = htons(443), .sin6_addr = { { { 0x20, 1, 0xd, 0xb8 } } } };
	struct iovec v = { (char *)"x", 1 };
	struct msghdr m = { .msg_name = &far, .msg_namelen = sizeof far, .msg_iov = &v, .msg_iovlen = 1 };
	struct mmsghdr mm = { .msg_hdr = m };
	int tcp = socket(AF_INET, SOCK_STREAM, 0), tcp6 = socket(AF_INET6, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);
	GOES_NOWHERE(connect(tcp, (void *)&far, sizeof far));
	GOES_NOWHERE(syscall(SYS_connect, tcp, &far, sizeof far));
	GOES_NOWHERE(connect(tcp6, (void *)&far6, sizeof far6));
	GOES_NOWHERE(sendto(tcp, "x", 1, MSG_FASTOPEN, (void *)&far, sizeof far));
	GOES_NOWHERE(connect(udp, (void *)&far, sizeof far));
	GOES_NOWHERE(sendto(udp, "x", 1, 0, (void *)&far, sizeof far));
	GOES_NOWHERE(syscall(SYS_sendto, udp, "x", 1, 0, &far, sizeof far));
	GOES_NOWHERE(sendto(udp, "x", 1, 0, (void *)&dns, sizeof dns));
	GOES_NOWHERE(sendmsg(udp, &m, 0));
	GOES_NOWHERE(sendmmsg(udp, &mm, 1, 0));
	close(tcp);
	close(tcp6);
	close(udp);
}

/* Loopback and Unix sockets are nobody's business. */
static void passing(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un u = { .sun_family = AF_UNIX };
	socklen_t n = sizeof a;
	int s = socket(AF_INET, SOCK_DGRAM, 0), t = socket(AF_INET, SOCK_DGRAM, 0), l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
	char byte;
	MUST(!bind(s, (void *)&a, sizeof a) && !getsockname(s, (void *)&a, &n));
	MUST(sendto(t, "x", 1, 0, (void *)&a, n) == 1 && recv(s, &byte, 1, 0) == 1);
	n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)snprintf(u.sun_path + 1, 90, "vcr-leads-%ld-%ld", syscall(SYS_getpid), syscall(SYS_gettid)));
	MUST(!bind(l, (void *)&u, n) && !listen(l, 1) && !connect(c, (void *)&u, n));
	close(s), close(t), close(l), close(c);
}

int where_act(const char *when, int argc, char **argv)
{
	gate_port = argc > 1 ? atoi(argv[1]) : 0;
	led_names();
	refused_names();
	led_connections();
	refused_connections();
	passing();
	return wrong;
}

int main(int argc, char **argv)
{
	return where_run(argc, argv);
}
