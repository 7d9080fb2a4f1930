/* doer.c — an agent that is built static, calls the kernel itself and heeds no variable: what --supervise is for.
 *
 *   doer FILES                    in the working directory: made and renamed, removed, written, a child's; then what fails: none of it is a change
 *   doer DESTROY                  deleted.bin is removed, replaced.bin renamed over, cut.bin emptied and written, grown.bin appended to, truncated.bin cut to 10 bytes
 *   doer ASK HOST BODY [EPOLL]    POST to 192.0.2.1:80, an address that nobody has (RFC 5737), for HOST: prints the answer's body, writes it to said.txt. EPOLL: a
 *                                 socket that does not block, registered before it is connected
 *   doer NAMED HOST BODY          likewise, to the address that /etc/hosts has for HOST
 *   doer BOUND PORT HOST BODY     POST to 127.0.0.1:PORT on a socket that is bound to the interface lo
 *   doer SEND PORT [EPOLL]        "ping\n" to 127.0.0.1:PORT, what comes back
 *   doer MANY N                   N files made, renamed and removed, a child after each tenth; prints how many of it all worked
 *   doer RUN PROGRAM ARG...       in a child
 * Exit: 0, 1 on an error. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int put(const char *name, int flags, const char *text)
{
	int fd = open(name, O_WRONLY | flags, 0644), ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0)
		close(fd);
	return ok;
}

static int in_child(int (*what)(void))
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(!what());
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static int of_child(void)
{
	return put("child.txt", O_CREAT | O_TRUNC, "child\n");
}

static int files(void)
{
	int ok = put("new.tmp", O_CREAT | O_TRUNC, "new\n") && !rename("new.tmp", "new.txt") && !unlink("old.txt") && put("log.txt", O_APPEND, "more\n") &&
		!mkdir("made", 0755) && in_child(of_child);
	/* none of these is a change */
	ok = ok && unlink("nowhere") && rename("nowhere", "log.txt") && open("made", O_RDWR | O_CREAT | O_TRUNC, 0600) < 0 && open("nowhere/x", O_WRONLY | O_CREAT, 0600) < 0 &&
		link("log.txt", "new.txt") && rmdir("log.txt");
	return ok;
}

static const char *device; /* what its sockets are bound to */

static int dial(const char *address, int port, int epoll)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = inet_addr(address) };
	int fd = socket(AF_INET, SOCK_STREAM | (epoll ? SOCK_NONBLOCK : 0), 0), set = epoll ? epoll_create1(0) : -1, error = 0;
	struct epoll_event ev = { .events = EPOLLOUT, .data.fd = fd };
	socklen_t n = sizeof error;
	if (device && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)))
		return -1;
	if (epoll && epoll_ctl(set, EPOLL_CTL_ADD, fd, &ev))
		return -1;
	int r = connect(fd, (struct sockaddr *)&a, sizeof a);
	if (!epoll)
		return r ? -1 : fd;
	if ((r && errno != EINPROGRESS) || epoll_wait(set, &ev, 1, 10000) != 1 || ev.data.fd != fd || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n))
		return -1;
	if ((errno = error))
		return -1;
	if (!(fcntl(fd, F_GETFL) & O_NONBLOCK) || fcntl(fd, F_SETFL, 0))
		return -1;
	return fd;
}

static const char *hear(int fd)
{
	static char text[65536];
	size_t n = 0;
	for (ssize_t k; n < sizeof text - 1 && (k = read(fd, text + n, sizeof text - 1 - n)) > 0; n += (size_t)k)
		;
	text[n] = 0;
	return text;
}

static int destroy(void)
{
	return !unlink("deleted.bin") && put("small.tmp", O_CREAT | O_TRUNC, "small\n") && !rename("small.tmp", "replaced.bin") && put("cut.bin", O_TRUNC, "cut\n") &&
		put("grown.bin", O_APPEND, "more\n") && put("grown.bin", O_APPEND, "more\n") && !truncate("truncated.bin", 10);
}

static const char *address_of(const char *host)
{
	static char address[100], name[300];
	FILE *f = fopen("/etc/hosts", "r");
	for (char line[1000]; f && fgets(line, sizeof line, f);)
		if (sscanf(line, "%99s %299s", address, name) == 2 && !strcmp(name, host) && !strchr(address, ':'))
			return address;
	return "192.0.2.1";
}

static int ask(const char *address, int port, const char *host, const char *body, int epoll)
{
	int fd = dial(address, port, epoll);
	if (fd < 0) {
		printf("no connection: %s\n", strerror(errno));
		return 0;
	}
	dprintf(fd, "POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", host, strlen(body), body);
	const char *text = hear(fd), *answer = strstr(text, "\r\n\r\n");
	if (!answer)
		return 0;
	printf("%s\n", answer + 4);
	return put("said.txt", O_CREAT | O_TRUNC, answer + 4);
}

static int sends(int port, int epoll)
{
	int fd = dial("127.0.0.1", port, epoll);
	if (fd < 0)
		printf("no connection: %s\n", strerror(errno));
	if (fd < 0 || write(fd, "ping\n", 5) != 5 || shutdown(fd, SHUT_WR))
		return 0;
	printf("%s\n", hear(fd));
	return 1;
}

static int nothing(void)
{
	return 1;
}

static int many(int n)
{
	int good = 0;
	char a[40], b[40];
	for (int i = 0; i < n; i++) {
		snprintf(a, sizeof a, "many-%d.tmp", i);
		snprintf(b, sizeof b, "many-%d", i);
		good += put(a, O_CREAT | O_TRUNC, "x") && !rename(a, b) && !access(b, R_OK) && !unlink(b) && (i % 10 || in_child(nothing));
		if (i == 0)
			put("began", O_CREAT, "");
	}
	printf("%d of %d\n", good, n);
	return good == n;
}

static int run(char **argv)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && status == 0;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc >= 2 && !strcmp(argv[1], "FILES"))
		return !files();
	if (argc == 2 && !strcmp(argv[1], "DESTROY"))
		return !destroy();
	if (argc >= 4 && !strcmp(argv[1], "ASK"))
		return !ask("192.0.2.1", 80, argv[2], argv[3], argc > 4);
	if (argc == 4 && !strcmp(argv[1], "NAMED"))
		return !ask(address_of(argv[2]), 80, argv[2], argv[3], 0);
	if (argc == 5 && !strcmp(argv[1], "BOUND")) {
		device = "lo";
		return !ask("127.0.0.1", atoi(argv[2]), argv[3], argv[4], 0);
	}
	if (argc >= 3 && !strcmp(argv[1], "SEND"))
		return !sends(atoi(argv[2]), argc > 3);
	if (argc == 3 && !strcmp(argv[1], "MANY"))
		return !many(atoi(argv[2]));
	if (argc >= 3 && !strcmp(argv[1], "RUN"))
		return !run(argv + 2);
	return 1;
}
