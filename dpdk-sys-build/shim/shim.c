/* Symbols for what DPDK's headers define `static inline`. See shim.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/types.h>

#include "shim.h"

int shim_errno(void)
{
	return rte_errno;
}

unsigned int shim_lcore_id(void)
{
	return rte_lcore_id();
}

static shim_log_line log_line;

static ssize_t log_write(void *cookie, const char *text, size_t len)
{
	(void)cookie;
	log_line((uint32_t)rte_log_cur_msg_loglevel(), text, len);
	return (ssize_t)len;
}

int shim_log_to(shim_log_line line)
{
	cookie_io_functions_t functions = { .write = log_write };
	FILE *stream = fopencookie(NULL, "w", functions);

	if (stream == NULL)
		return -errno;
	/* DPDK flushes after each message: with a buffer, a message is one call of log_line. */
	log_line = line;
	return rte_openlog_stream(stream);
}

int shim_link_get(uint16_t port, struct shim_link *link)
{
	struct rte_eth_link now;
	int result = rte_eth_link_get_nowait(port, &now);

	if (result < 0)
		return result;
	link->speed_mbps = now.link_speed;
	link->up = now.link_status != 0;
	link->full_duplex = now.link_duplex != 0;
	return 0;
}

uint16_t shim_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_rx_burst(port, queue, mbufs, count);
}

uint16_t shim_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_tx_burst(port, queue, mbufs, count);
}

int shim_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int count)
{
	return rte_pktmbuf_alloc_bulk(pool, mbufs, count);
}

int shim_linearize(struct rte_mbuf *mbuf)
{
	return rte_pktmbuf_linearize(mbuf);
}
