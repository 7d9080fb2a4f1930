/* crc.c — CRC-32C (Castagnoli, reflected, polynomial 0x82f63b78): the processor's instruction where it has one. */
#include <sys/auxv.h>
#include "shim.h"
#include "crc-machine.h"

/* Four bits at a time: 64 bytes of table that need no set-up, for machines without the instruction. */
static uint32_t crc_table(uint32_t crc, const unsigned char *p, size_t n)
{
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
		0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};
	for (; n; n--, p++) {
		crc = table[(crc ^ *p) & 15] ^ crc >> 4;
		crc = table[(crc ^ *p >> 4) & 15] ^ crc >> 4;
	}
	return crc;
}

uint32_t vcr_crc(uint32_t crc, const void *p, size_t n)
{
	static VCR_HOT uint32_t can; /* enum vcr_crc_how */
	if (vcr_unlikely(!__atomic_load_n(&can, __ATOMIC_RELAXED))) {
		struct vcr_spool_header *h = vcr_spool_mapped();
		uint32_t said = h && h->hwcap == getauxval(AT_HWCAP) ? vcr_load(&h->crc) : VCR_CRC_NOT_KNOWN;
		__atomic_store_n(&can, said ? said : vcr_crc_how(), __ATOMIC_RELAXED);
	}
	return can == VCR_CRC_MACHINE ? vcr_crc_machine(crc, p, n) : crc_table(crc, p, n);
}
