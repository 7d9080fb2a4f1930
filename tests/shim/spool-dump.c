/* spool-dump — print a spool's records, one line each: TYPE pid=… conn=… and what the record says. The shim's tests compare these lines;
 * it reads spool-format.h and nothing else of the project.
 *
 *   spool-dump PATH          header line, then records
 *   spool-dump --bytes PATH  the payload of OUT and IN records as text
 *   spool-dump --take PATH   as a collector that runs: takes what is there, and prints nothing */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "spool-format.h"

static uint32_t crc32c(const unsigned char *p, size_t n)
{
	uint32_t c = ~0u;
	while (n--) {
		c ^= *p++;
		for (int k = 0; k < 8; k++)
			c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
	}
	return ~c;
}

static const char *string_at(const char *payload, uint32_t size, size_t at, unsigned k)
{
	for (; at < size; at += strlen(payload + at) + 1)
		if (!k--)
			return payload + at;
	return "";
}

static void print_text(const char *p, size_t n)
{
	for (; n; n--, p++)
		if (*p == '\n')
			fputs("\\n", stdout);
		else if (*p == '\r')
			fputs("\\r", stdout);
		else
			putchar(*p < ' ' ? '.' : *p);
}

static void print_arguments(const char *payload, uint32_t size, size_t at, uint32_t argc)
{
	for (uint32_t i = 0; i < argc; i++)
		printf(" [%s]", string_at(payload, size, at, 2 + i));
}

static void print_file(const struct vcr_spool_record *r, const char *p)
{
	static const char *const op[] = { "?", "OPEN", "WRITE", "CLOSE", "RENAME", "UNLINK", "LINK", "TRUNCATE", "MKDIR", "RMDIR", "MODE", "EXCHANGE", "DEEP" };
	const struct vcr_rec_file *f = (const void *)p;
	uint32_t size = r->size;
	const char *second = string_at(p, size, sizeof *f, 1);
	printf("%s %s existed=%u flags=%#x %s%s%s", r->state == VCR_REC_CLOSED ? " closed" : "", f->op < 13 ? op[f->op] : "?", f->existed, f->flags, string_at(p, size, sizeof *f, 0), *second ? " -> " : "", second);
}

static void print_record(const struct vcr_spool_record *r, const char *p, int bytes)
{
	static const char *const type[] = { "?", "PROC", "FORK", "EXEC", "EXIT", "CONN", "OUT", "IN", "CLOSE", "FILE", "NOTE", "LOST", "ROOT_END", "REFUSED" };
	printf("%s pid=%d conn=%u", r->type < 14 ? type[r->type] : "?", r->pid, r->conn);
	switch (r->type) {
	case VCR_REC_PROC: {
		const struct vcr_rec_proc *q = (const void *)p;
		printf(" ppid=%d %s %s", q->ppid, string_at(p, r->size, sizeof *q, 0), string_at(p, r->size, sizeof *q, 1));
		const char *secret;
		print_arguments(p, r->size, sizeof *q, q->argc);
		for (unsigned k = 2 + q->argc; *(secret = string_at(p, r->size, sizeof *q, k)); k++)
			printf("\nSECRET pid=%d %s", r->pid, secret);
		break;
	}
	case VCR_REC_FORK: printf(" parent=%d", *(const int32_t *)(const void *)p); break;
	case VCR_REC_EXEC: {
		static const char *const kind[] = { "REPLACE", "SPAWN", "FAILED" };
		const struct vcr_rec_exec *q = (const void *)p;
		printf(" %s child=%d error=%d %s", kind[q->kind % 3], q->child, q->error, string_at(p, r->size, sizeof *q, 0));
		print_arguments(p, r->size, sizeof *q, q->argc);
		break;
	}
	case VCR_REC_EXIT: {
		const struct vcr_rec_exit *q = (const void *)p;
		printf(" %s child=%d status=%#x", q->source ? "SELF" : "WAIT", q->child, (unsigned)q->status);
		break;
	}
	case VCR_REC_CONN: {
		const struct vcr_rec_conn *q = (const void *)p;
		printf(" kind=%u server=%s peer=%s", q->kind, string_at(p, r->size, sizeof *q, 0), string_at(p, r->size, sizeof *q, 1));
		break;
	}
	case VCR_REC_REFUSED: {
		static const char *const kind[] = { "?", "TCP", "DATAGRAM", "LOOKUP" };
		const struct vcr_rec_refused *q = (const void *)p;
		printf(" %s %s", kind[q->kind % 4], string_at(p, r->size, sizeof *q, 0));
		break;
	}
	case VCR_REC_CLOSE: printf(" reason=%d", *(const int32_t *)(const void *)p); break;
	case VCR_REC_FILE: print_file(r, p); break;
	default:
		printf(" size=%u ", r->size);
		if (bytes)
			print_text(p, r->size);
	}
	if (crc32c((const void *)p, r->size) != r->crc)
		printf(" BAD_CRC");
	putchar('\n');
}

static int is_whole(uint32_t state)
{
	return state == VCR_REC_READY || state == VCR_REC_CLOSED || state == VCR_REC_TAKEN;
}

static void take(char *map, size_t size)
{
	struct vcr_spool_header *h = (void *)map;
	for (uint64_t at = h->head; at < h->tail && at + sizeof(struct vcr_spool_record) <= size;) {
		struct vcr_spool_record *r = (void *)(map + at);
		uint32_t ready = VCR_REC_READY;
		if (r->type == VCR_REC_FILE)
			__atomic_compare_exchange_n(&r->state, &ready, VCR_REC_TAKEN, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
		at += r->length ? r->length : VCR_SPOOL_ALIGN;
	}
	h->collector = VCR_COLLECTOR_RUNNING;
}

int main(int argc, char **argv)
{
	int bytes = argc == 3 && !strcmp(argv[1], "--bytes"), takes = argc == 3 && !strcmp(argv[1], "--take"), fd = open(argv[argc - 1], takes ? O_RDWR : O_RDONLY);
	struct stat st;
	if (argc < 2 || fd < 0 || fstat(fd, &st) || st.st_size < VCR_SPOOL_HEADER) {
		fprintf(stderr, "spool-dump: %s: %s\n", argc > 1 ? argv[argc - 1] : "no file given", strerror(errno));
		return 1;
	}
	char *map = mmap(NULL, (size_t)st.st_size, PROT_READ | (takes ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return 1;
	if (takes) {
		take(map, (size_t)st.st_size);
		return 0;
	}
	const struct vcr_spool_header *h = (const void *)map;
	printf("SPOOL session=%s root=%d workspace=%s vcr=%s collector=%u wanted=%u users=%u dropped=%llu\n", h->session, h->root_pid, h->workspace, h->vcr_dir,
		h->collector, h->wanted, h->users, (unsigned long long)h->dropped_records);
	for (uint64_t at = h->head; at < h->tail && at + sizeof(struct vcr_spool_record) <= (uint64_t)st.st_size;) {
		const struct vcr_spool_record *r = (const void *)(map + at);
		if (!is_whole(r->state) || r->seq != at || r->length < sizeof *r) {
			printf("HOLE at=%llu state=%#x\n", (unsigned long long)at, r->state);
			at += r->state == VCR_REC_BUSY && r->length ? r->length : VCR_SPOOL_ALIGN;
			continue;
		}
		print_record(r, (const char *)(r + 1), bytes);
		at += r->length;
	}
	return 0;
}
