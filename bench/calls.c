/* calls.c — N model calls through a TLS library that costs nothing, timed on the calling thread.
 *
 * usage: calls N READS PAUSE_US
 * Each call is an OpenAI chat request of about 8 KB in two SSL_write (head, body) and an answer of about 4 KB in READS SSL_read.
 * Prints one JSON object: nanoseconds per call (minimum, median, mean) spent inside the SSL_* calls, and their number. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct ssl_st SSL;
struct ssl_st {
	const char *answer;
	size_t len, at;
};
extern int SSL_write(SSL *s, const void *p, int n);
extern int SSL_read(SSL *s, void *p, int n);
extern void SSL_free(SSL *s);

enum { REQUEST = 8000, ANSWER = 4000 };

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

/* Words that differ from call to call, so that nothing is stored once for all of them. */
static size_t words(char *to, size_t n, unsigned seed)
{
	static const char *const word[] = { "state ", "tool ", "write ", "the ", "file ", "of ", "result ", "a ", "branch ", "test " };
	size_t at = 0;
	while (at + 16 < n) {
		seed = seed * 1664525u + 1013904223u;
		if ((seed >> 16) % 7)
			at += (size_t)sprintf(to + at, "%s", word[(seed >> 20) % 10]);
		else
			at += (size_t)sprintf(to + at, "%x ", seed & 0xffff);
	}
	to[at] = 0;
	return at;
}

static size_t make_request(char *head, char *body, unsigned k)
{
	static char text[REQUEST];
	words(text, REQUEST - 300, k * 2654435761u + 1);
	size_t n = (size_t)sprintf(body, "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"system\",\"content\":\"You are call %u.\"},"
		"{\"role\":\"user\",\"content\":\"%s\"}],\"temperature\":0}", k, text);
	sprintf(head, "POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nContent-Type: application/json\r\n"
		"Authorization: Bearer sk-bench-0123456789abcdef\r\nContent-Length: %zu\r\n\r\n", n);
	return n;
}

static size_t make_answer(char *to, unsigned k)
{
	static char text[ANSWER], body[ANSWER + 400];
	words(text, ANSWER - 500, k * 40503u + 7);
	size_t n = (size_t)sprintf(body, "{\"id\":\"chatcmpl-%u\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,"
		"\"message\":{\"role\":\"assistant\",\"content\":\"%s\"},\"finish_reason\":\"stop\"}],"
		"\"usage\":{\"prompt_tokens\":1700,\"completion_tokens\":800,\"total_tokens\":2500}}", k, text);
	return (size_t)sprintf(to, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", n, body);
}

int main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 1000, reads = argc > 2 ? (unsigned)atoi(argv[2]) : 2;
	unsigned pause_us = argc > 3 ? (unsigned)atoi(argv[3]) : 500;
	static char head[1024], body[REQUEST + 1000], answer[ANSWER + 2000], into[ANSWER + 2000];
	uint64_t *took = calloc(n, sizeof *took), sum = 0, ops = 0;
	SSL ssl = { 0 };
	if (!took || !n || !reads)
		return 2;
	for (unsigned k = 0; k < n; k++) {
		size_t nbody = make_request(head, body, k), nanswer = make_answer(answer, k), nhead = strlen(head);
		int step = (int)((nanswer + reads - 1) / reads);
		ssl = (SSL){ answer, nanswer, 0 };
		uint64_t from = now_ns();
		SSL_write(&ssl, head, (int)nhead);
		SSL_write(&ssl, body, (int)nbody);
		ops += 2;
		while (SSL_read(&ssl, into, step) > 0 && ssl.at < ssl.len)
			ops++;
		took[k] = now_ns() - from;
		sum += took[k];
		ops++;
		if (pause_us)
			usleep(pause_us);
	}
	SSL_free(&ssl);
	qsort(took, n, sizeof *took, by_value);
	printf("{\"calls\":%u,\"ops\":%llu,\"min_ns\":%llu,\"median_ns\":%llu,\"p99_ns\":%llu,\"mean_ns\":%llu}\n", n, (unsigned long long)ops,
		(unsigned long long)took[0], (unsigned long long)took[n / 2], (unsigned long long)took[n - 1 - n / 100], (unsigned long long)(sum / n));
	free(took);
	return 0;
}
