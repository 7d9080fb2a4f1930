/* asker.c — a client of a model that is built static and heeds the proxy variables, as programs of Go and Rust do.
 *
 *   asker POST URL BODY       through http_proxy: prints the answer's status line and body. URL: http://…
 *   asker TWICE URL BODY      likewise, and once more when a line has been read from standard input
 *   asker TOOLS URL BODY COMMAND…  likewise, and then each command by a shell, or by itself where it begins with "!", with an empty environment "-",
 *                             by ourselves started again "@", by a child of such a one "+", by one whose parent has ended "*", and by calls that point nowhere "%": what it printed, how it ended; "?" and an errno: it could not be started
 *                             "^": it lets nobody look into it from now on
 *   asker RUN COMMAND         becomes it
 *   asker UNDER COMMAND       a child does
 *   asker SOCKET URL          likewise, a request for a WebSocket as codex makes it
 *   asker CONNECT HOST:PORT   a tunnel through https_proxy: sends "ping\n" in it, prints the status and what comes back
 * Exit: 0, 3 when there is no proxy to be used, 1 on an error. */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void base64(const char *s, size_t n, char *to)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t i = 0; i < n; i += 3) {
		unsigned v = (unsigned)(unsigned char)s[i] << 16 | (i + 1 < n ? (unsigned)(unsigned char)s[i + 1] << 8 : 0) | (i + 2 < n ? (unsigned char)s[i + 2] : 0);
		*to++ = letters[v >> 18];
		*to++ = letters[v >> 12 & 63];
		*to++ = i + 1 < n ? letters[v >> 6 & 63] : '=';
		*to++ = i + 2 < n ? letters[v & 63] : '=';
	}
	*to = 0;
}

/* Connected to http://USER@ADDRESS:PORT; word: its Basic credentials. */
static int dial(const char *variable, char word[400])
{
	char user[200], address[64];
	int port;
	const char *proxy = getenv(variable);
	if (!proxy || sscanf(proxy, "http://%199[^@]@%63[0-9.]:%d", user, address, &port) != 3)
		exit(3);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = inet_addr(address) };
	int fd = -1;
	for (int i = 0; i < 500 && (fd = socket(AF_INET, SOCK_STREAM, 0)) >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a); i++, fd = -1) { /* as clients try again */
		close(fd);
		usleep(20000);
	}
	if (fd < 0)
		exit(1);
	base64(user, strlen(user), word);
	return fd;
}

/* What comes, until the end or until it holds `stop`. */
static char *hear(int fd, const char *stop)
{
	static char text[65536];
	size_t n = 0;
	for (ssize_t k; n < sizeof text - 1 && (k = read(fd, text + n, sizeof text - 1 - n)) > 0;) {
		n += (size_t)k;
		text[n] = 0;
		if (stop && strstr(text, stop))
			break;
	}
	text[n] = 0;
	return text;
}

static void tell(char *text)
{
	char *body = strstr(text, "\r\n\r\n");
	printf("%.*s\n%s\n", (int)strcspn(text, "\r\n"), text, body ? body + 4 : "");
}

/* False: the connection was cut before anything came. */
static bool post(int fd, char **argv, const char *word)
{
	dprintf(fd, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\nProxy-Authorization: Basic %s\r\nContent-Length: %zu\r\n\r\n%s", argv[2], word,
		strlen(argv[3]), argv[3]);
	char *text = hear(fd, NULL);
	close(fd);
	if (*text)
		tell(text);
	return *text;
}

extern char **environ;

/* Each fails by itself, whoever looks at its arguments. */
static void call_with_nothing_there(const char *program)
{
	static char *many[200000];
	for (size_t i = 0; i < sizeof many / sizeof *many - 1; i++)
		many[i] = (char *)(i % 2 ? 1 : -1l);
	char *volatile one = (char *)1;
	execve(one, environ, environ);
	execve(program, (char **)one, environ);
	execve(program, many, environ);
	execve(program, environ, (char **)-8l);
	execve("", environ, environ);
}

static void become(const char *command)
{
	char *const name[] = { (char *)command + 1, "tool", NULL }, *const none[] = { NULL }, *const again[] = { "asker", *command == '@' ? "RUN" : "UNDER", (char *)command + 1, NULL };
	const pid_t parent = getpid();
	if (*command == '*' && fork())
		_exit(0);
	while (*command == '*' && getppid() == parent)
		usleep(1000);
	switch (*command) {
	case '*':
	case '!': execve(*name, name, environ); break;
	case '-': execve(*name, name, none); break;
	case '@': case '+': execve("/proc/self/exe", again, environ); break;
	case '%': call_with_nothing_there(*name); break;
	default: execl("/bin/bash", "bash", "-lc", command, (char *)NULL);
	}
	printf("?%d", errno);
	fflush(stdout);
	_exit(errno == EACCES ? 126 : 125);
}

/* By fork and exec: popen(3) has no call that would say more. */
static void use_tool(const char *command)
{
	if (*command == '^') {
		printf("%d\n", prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
		return;
	}
	char text[4096];
	int out[2], status;
	size_t n = 0;
	fflush(stdout);
	pid_t pid = pipe(out) ? -1 : fork();
	if (!pid) {
		dup2(out[1], 1);
		close(out[0]);
		close(out[1]);
		become(command);
	}
	close(out[1]);
	for (ssize_t k; n < sizeof text - 1 && (k = read(out[0], text + n, sizeof text - 1 - n)) > 0;)
		n += (size_t)k;
	text[n] = 0;
	close(out[0]);
	waitpid(pid, &status, 0);
	printf("%d %s\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), text);
}

int main(int argc, char **argv)
{
	char word[400];
	if (argc < 3)
		return 1;
	if (!strcmp(argv[1], "RUN") || !strcmp(argv[1], "UNDER")) {
		char own[400];
		int status;
		if (*argv[1] == 'U' && fork())
			return wait(&status) > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 99;
		snprintf(own, sizeof own, "!%s", argv[2]);
		become(own);
	}
	signal(SIGPIPE, SIG_IGN);
	int fd = dial(strcmp(argv[1], "CONNECT") ? "http_proxy" : "https_proxy", word);
	if (!strcmp(argv[1], "CONNECT")) {
		dprintf(fd, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Basic %s\r\n\r\n", argv[2], argv[2], word);
		char *head = hear(fd, "\r\n\r\n");
		printf("%.*s\n", (int)strcspn(head, "\r\n"), head);
		if (!strstr(head, " 200 "))
			return 0;
		dprintf(fd, "ping\n");
		shutdown(fd, SHUT_WR);
		printf("%s\n", hear(fd, NULL));
	} else if (!strcmp(argv[1], "SOCKET")) {
		dprintf(fd, "GET %s HTTP/1.1\r\nHost: x\r\nUser-Agent: codex_cli_rs/0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
			"Proxy-Authorization: Basic %s\r\n\r\n", argv[2], word);
		tell(hear(fd, "\r\n\r\n"));
	} else if (!strcmp(argv[1], "TWICE")) {
		post(fd, argv, word);
		fflush(stdout);
		if (getchar() == EOF)
			return 1;
		for (int i = 0; i < 10 && !post(dial("http_proxy", word), argv, word); i++)
			usleep(20000);
	} else {
		post(fd, argv, word);
		for (int i = 4; !strcmp(argv[1], "TOOLS") && i < argc; i++)
			use_tool(argv[i]);
	}
	return 0;
}
