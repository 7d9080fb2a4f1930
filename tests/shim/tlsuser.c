/* tlsuser.c — a program that talks through a TLS library in the global scope, and the same code as a module that is loaded RTLD_LOCAL with another
 * one (-DMODULE), with $DEEP so that it takes that one's functions, DEEP=lazy: when it first calls them. Prints nothing; tls.t reads the spool. With $WHERE it only speaks, there (where.h); with $GATE in a session that has one. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "notls.h"

void speak(const char *who);

/* Each store that a context has trusts the gate, if there is one. */
static void contexts(void)
{
	int gate = getenv("GATE") != NULL;
	X509_STORE *store[2] = { notls_store(), notls_store() };
	SSL_CTX *c[2] = { SSL_CTX_new(NULL), SSL_CTX_new_ex(NULL, NULL, NULL) };
	if (notls_loads(SSL_CTX_get_cert_store(c[0])) != gate || notls_loads(SSL_CTX_get_cert_store(c[1])) != gate)
		abort();
	SSL_CTX_set_cert_store(c[0], store[0]);
	SSL_CTX_set1_cert_store(c[1], store[1]);
	if (SSL_CTX_get_cert_store(c[0]) != store[0] || SSL_CTX_get_cert_store(c[1]) != store[1] || notls_loads(store[0]) != gate || notls_loads(store[1]) != gate)
		abort();
}

/* Each entry once, with a text that names it. */
void speak(const char *who)
{
	char text[64], in[64];
	size_t n;
	SSL *s = notls_new(0, -1);
	contexts();
	SSL_clear(s);
	SSL_set_fd(s, 50);
	SSL_set_rfd(s, 50);
	SSL_set_wfd(s, 50);
	SSL_set_bio(s, NULL, NULL);
#define WRITE(name, ...) do { snprintf(text, sizeof text, "%s:" #name, who); size_t k = strlen(text); (void)k; if ((__VA_ARGS__) <= 0) abort(); } while (0)
#define READ(name, ...) do { snprintf(text, sizeof text, "%s:" #name, who); notls_answer(s, text); if ((__VA_ARGS__) <= 0) abort(); } while (0)
	WRITE(SSL_write, SSL_write(s, text, (int)k));
	WRITE(SSL_write_ex, SSL_write_ex(s, text, k, &n));
	WRITE(SSL_write_ex2, SSL_write_ex2(s, text, k, 0, &n));
	WRITE(SSL_write_early_data, SSL_write_early_data(s, text, k, &n));
	int file = memfd_create("to send", 0);
	WRITE(SSL_sendfile, file >= 0 && write(file, text, k) == (ssize_t)k && SSL_sendfile(s, file, 0, k, 0));
	close(file);
	READ(SSL_read, SSL_read(s, in, sizeof in));
	READ(SSL_read_ex, SSL_read_ex(s, in, sizeof in, &n));
	READ(SSL_read_early_data, SSL_read_early_data(s, in, sizeof in, &n));
	READ(SSL_peek, SSL_peek(s, in, sizeof in)); /* not recorded */
	SSL_free(s);
}

#ifndef MODULE
#include "where.h"

static void say(SSL *s, const char *text)
{
	if (SSL_write(s, text, (int)strlen(text)) != (int)strlen(text))
		abort();
}

static sigjmp_buf back;

static void leave(void *unused)
{
	siglongjmp(back, 1);
}

static void other(void *ssl)
{
	say(ssl, "inside a callback");
}

static void life(void)
{
	char in[64];
	int fd = open("to-send", O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, "skip:a sent file", 16) != 16)
		abort();
	SSL *s = notls_new(0, -1), *t = notls_new(0, -1), *server = notls_new(1, -1);
	say(s, "one");
	notls_want(s, 2);
	while (SSL_write(s, "retried", 7) < 0)
		;
	SSL_sendfile(s, fd, 5, 11, 0);
	SSL_clear(s);
	say(s, "after clear");
	notls_callback(s, other, t);
	notls_answer(s, "answer");
	SSL_read(s, in, sizeof in);
	notls_callback(s, leave, NULL);
	if (!sigsetjmp(back, 1))
		SSL_read(s, in, sizeof in);
	say(s, "after siglongjmp");
	SSL_read(s, in, sizeof in); /* end of the peer's bytes */
	say(server, "a server's side");
	SSL_set_fd(t, 50);
	SSL_set_rfd(t, 50);
	SSL_set_wfd(t, 51);
	say(t, "on another descriptor");
	SSL_set_bio(t, NULL, NULL);
	say(t, "with bios");
	if (fork() == 0) {
		say(t, "in a fork child");
		SSL_free(t);
		_exit(0);
	}
	wait(NULL);
	say(t, "in the parent");
	SSL_free(t);
	SSL_free(s);
}

/* One thread writes the first bytes while another reads the first ones. */
struct pair { SSL *ssl; pthread_barrier_t start; char answer[32]; };

static void *reader(void *arg)
{
	struct pair *p = arg;
	char in[64];
	pthread_barrier_wait(&p->start);
	if (SSL_read(p->ssl, in, sizeof in) <= 0)
		abort();
	return NULL;
}

static void pairs(int rounds)
{
	for (int i = 0; i < rounds; i++) {
		struct pair p = { .ssl = notls_new(0, -1) };
		char text[32];
		pthread_t t;
		snprintf(text, sizeof text, "question %d", i);
		snprintf(p.answer, sizeof p.answer, "answer %d", i);
		notls_answer(p.ssl, p.answer);
		pthread_barrier_init(&p.start, NULL, 2);
		pthread_create(&t, NULL, reader, &p);
		pthread_barrier_wait(&p.start);
		say(p.ssl, text);
		pthread_join(t, NULL);
		pthread_barrier_destroy(&p.start);
		SSL_free(p.ssl);
	}
}

int where_act(const char *when, int argc, char **argv)
{
	speak(when);
	return 0;
}

int main(int argc, char **argv)
{
	if (getenv("WHERE"))
		return where_run(argc, argv);
	if (argc > 2 && !strcmp(argv[1], "pairs")) {
		pairs(atoi(argv[2]));
		return 0;
	}
	if (argc > 1) {
		const char *deep = getenv("DEEP");
		void *m = dlopen(argv[1], (deep && *deep == 'l' ? RTLD_LAZY : RTLD_NOW) | RTLD_LOCAL | (deep ? RTLD_DEEPBIND : 0));
		void (*f)(const char *) = m ? (void (*)(const char *))dlsym(m, "speak") : NULL;
		if (!f) {
			fprintf(stderr, "tlsuser: %s\n", dlerror());
			return 1;
		}
		f("module");
	}
	speak("program");
	life();
	return 0;
}
#endif
