/* tlsrefused.c — a program that exports SSL_read and an SSL_write that no tap can be put into, and what tells node from others. It sends the beginning
 * of a TLS connection to itself, and prints what the two return; or: tlsrefused quiet, tlsrefused lookup HOST. */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int SSL_read(void *ssl, void *buf, int n);
int SSL_write(void *ssl, const void *buf, int n);
int (*volatile read_)(void *, void *, int) = SSL_read;
int (*volatile write_)(void *, const void *, int) = SSL_write;

int SSL_read(void *ssl, void *buf, int n)
{
	return n + (ssl == buf);
}

#if defined __x86_64__
__asm__(".globl SSL_write\n.type SSL_write, @function\nSSL_write: jrcxz 1f\n1: lea (%rdx), %eax\nret\n.size SSL_write, .-SSL_write");
#else
__asm__(".globl SSL_write\n.type SSL_write, %function\nSSL_write: cbz x3, 1f\n1: mov w0, w2\nret\n.size SSL_write, .-SSL_write");
#endif

void napi_module_register(void *module);
void napi_module_register(void *module)
{
}

static int lookup(const char *host)
{
	struct addrinfo want = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM }, *found;
	char text[64];
	if (getaddrinfo(host, "443", &want, &found))
		return 1;
	puts(inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)found->ai_addr)->sin_addr, text, sizeof text));
	freeaddrinfo(found);
	return 0;
}

static int speak(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof a;
	int l = socket(AF_INET, SOCK_STREAM, 0), s = socket(AF_INET, SOCK_STREAM, 0);
	static const char hello[] = "\x16\x03\x01\x00\x05hello";
	if (bind(l, (struct sockaddr *)&a, n) || listen(l, 2) || getsockname(l, (struct sockaddr *)&a, &n) || connect(s, (struct sockaddr *)&a, n))
		return 1;
	int again = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(again, (struct sockaddr *)&a, n) || write(again, hello, sizeof hello - 1) < 0)
		return 1;
	return write(s, hello, sizeof hello - 1) != sizeof hello - 1;
}

int main(int argc, char **argv)
{
	char buf[1] = "";
	if (argc == 3)
		return lookup(argv[2]);
	if (argc == 1 && speak())
		return 1;
	printf("%d %d\n", read_(main, buf, 7), write_(main, buf, 8));
	return 0;
}
