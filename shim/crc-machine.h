/* crc-machine.h — CRC-32C by the processor's own instruction, for both ends of the spool. vcr_crc_machine_can: has it one? The value goes in and
 * comes out as it stands in the register: the caller inverts it. */
#ifndef VCR_CRC_MACHINE_H
#define VCR_CRC_MACHINE_H
#include <stddef.h>
#include <stdint.h>
#include "spool-format.h"

#if defined __x86_64__
#if defined __clang__
__attribute__((target("sse4.2,crc32")))
#else
__attribute__((target("sse4.2")))
#endif
static inline uint32_t vcr_crc_machine(uint32_t crc, const unsigned char *p, size_t n)
{
	uint64_t c = crc;
	for (; n >= 8; n -= 8, p += 8)
		c = __builtin_ia32_crc32di(c, *(const uint64_t __attribute__((may_alias, aligned(1))) *)p);
	for (; n; n--)
		c = __builtin_ia32_crc32qi((uint32_t)c, *p++);
	return (uint32_t)c;
}
static inline int vcr_crc_machine_can(void)
{
	uint32_t a = 1, b, c, d;
	__asm__("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
	return c >> 20 & 1;
}
#elif defined __aarch64__
#include <arm_acle.h>
#include <sys/auxv.h>
__attribute__((target("+crc"))) static inline uint32_t vcr_crc_machine(uint32_t c, const unsigned char *p, size_t n)
{
	for (; n >= 8; n -= 8, p += 8)
		c = __crc32cd(c, *(const uint64_t __attribute__((may_alias, aligned(1))) *)p);
	for (; n; n--)
		c = __crc32cb(c, *p++);
	return c;
}
static inline int vcr_crc_machine_can(void)
{
	return getauxval(AT_HWCAP) >> 7 & 1; /* HWCAP_CRC32 */
}
#else
static inline uint32_t vcr_crc_machine(uint32_t c, const unsigned char *p, size_t n)
{
	(void)p;
	(void)n;
	return c;
}
static inline int vcr_crc_machine_can(void)
{
	return 0;
}
#endif

/* An enum vcr_crc_how. Asking is cheap, but in a virtual machine, where it is the machine beneath that answers: 5 us. Who makes a spool says it there for all. */
static inline uint32_t vcr_crc_how(void)
{
	return vcr_crc_machine_can() ? VCR_CRC_MACHINE : VCR_CRC_TABLE;
}

#endif
