/* Symbols for what DPDK's headers define `static inline`. See shim.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
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

/* A level of 2 is the innermost header where only one is inside another (RTE_ETH_RSS_LEVEL). */
enum { INNER_LEVEL = 2 };

static enum rte_flow_item_type item_of(uint8_t family)
{
	return family == 4 ? RTE_FLOW_ITEM_TYPE_IPV4 : RTE_FLOW_ITEM_TYPE_IPV6;
}

static int spread(uint16_t port, const struct shim_spread *rule, int create, char *text, size_t room)
{
	const uint8_t carried = rule->inner == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
	const struct rte_flow_item_ipv4 ipv4 = { .hdr.next_proto_id = carried };
	const struct rte_flow_item_ipv4 ipv4_mask = { .hdr.next_proto_id = 0xff };
	const struct rte_flow_item_ipv6 ipv6 = { .hdr.proto = carried };
	const struct rte_flow_item_ipv6 ipv6_mask = { .hdr.proto = 0xff };
	const int is_ipv4 = rule->outer == 4;
	const struct rte_flow_item pattern[] = {
		{ .type = RTE_FLOW_ITEM_TYPE_ETH },
		{ .type = item_of(rule->outer),
		  .spec = is_ipv4 ? (const void *)&ipv4 : &ipv6,
		  .mask = is_ipv4 ? (const void *)&ipv4_mask : &ipv6_mask },
		{ .type = item_of(rule->inner) },
		{ .type = RTE_FLOW_ITEM_TYPE_END },
	};
	const struct rte_flow_action_rss rss = {
		.level = INNER_LEVEL,
		.types = rule->types,
		.queue_num = rule->queue_count,
		.queue = rule->queues,
	};
	const struct rte_flow_action actions[] = {
		{ .type = RTE_FLOW_ACTION_TYPE_RSS, .conf = &rss },
		{ .type = RTE_FLOW_ACTION_TYPE_END },
	};
	const struct rte_flow_attr attributes = { .ingress = 1 };
	struct rte_flow_error error = { 0 };
	int result = 0;

	if (!create)
		result = rte_flow_validate(port, &attributes, pattern, actions, &error);
	else if (rte_flow_create(port, &attributes, pattern, actions, &error) == NULL)
		result = rte_errno > 0 ? -rte_errno : -EINVAL;
	if (result != 0)
		snprintf(text, room, "%s", error.message != NULL ? error.message : "");
	return result;
}

int shim_spread_validate(uint16_t port, const struct shim_spread *rule, char *text, size_t room)
{
	return spread(port, rule, 0, text, room);
}

int shim_spread_create(uint16_t port, const struct shim_spread *rule, char *text, size_t room)
{
	return spread(port, rule, 1, text, room);
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
