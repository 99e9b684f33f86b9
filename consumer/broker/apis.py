"""The APIs this broker serves, and in which versions.

A version is listed only if every part of it is implemented. Ranges end where a next version would bring
something this broker has not (topic ids in Fetch and OffsetCommit, the second transaction protocol), so that
clients settle for what both sides know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kafka.protocol import admin, consumer, metadata, producer

from prefstream.consumer.broker.faults import ApiName
from prefstream.consumer.broker.handlers import admin as on_admin
from prefstream.consumer.broker.handlers import fetch as on_fetch
from prefstream.consumer.broker.handlers import groups as on_groups
from prefstream.consumer.broker.handlers import logs as on_logs
from prefstream.consumer.broker.handlers import metadata as on_metadata
from prefstream.consumer.broker.handlers import offsets as on_offsets
from prefstream.consumer.broker.handlers import produce as on_produce
from prefstream.consumer.broker.handlers import transactions as on_transactions
from prefstream.consumer.broker.node.call import Call, Handler, Message
from prefstream.consumer.broker.node.errors import ErrorCode


@dataclass(frozen=True, slots=True)
class Api:
    """One API: its name, versions, request class and handler."""

    name: ApiName
    min_version: int
    max_version: int
    request_class: Message
    handle: Handler

    @property
    def key(self) -> int:
        """Its number on the wire."""
        return int(self.request_class.API_KEY)

    def speaks(self, version: int) -> bool:
        """Whether this version is served."""
        return self.min_version <= version <= self.max_version


async def api_versions(call: Call) -> Message:  # noqa: ARG001 - everybody gets the same answer
    """Tell which APIs there are. A client from the future is answered in version 0, as it expects."""
    response_class = metadata.ApiVersionsResponse
    return response_class(
        error_code=ErrorCode.NONE,
        api_keys=[
            response_class.ApiVersion(api_key=api.key, min_version=api.min_version, max_version=api.max_version)
            for api in APIS.values()
        ],
        throttle_time_ms=0,
    )


def _table() -> Mapping[int, Api]:
    apis = [
        # Record batches came with version 3, but librdkafka looks for version 0 to believe in any (as Apache
        # Kafka does, requests of older formats are refused).
        Api("Produce", 0, 9, producer.ProduceRequest, on_produce.produce),
        Api("Fetch", 4, 12, consumer.FetchRequest, on_fetch.fetch),
        Api("ListOffsets", 1, 7, consumer.ListOffsetsRequest, on_logs.list_offsets),
        Api("Metadata", 1, 12, metadata.MetadataRequest, on_metadata.metadata),
        Api("OffsetCommit", 2, 8, consumer.OffsetCommitRequest, on_offsets.offset_commit),
        Api("OffsetDelete", 0, 0, consumer.OffsetDeleteRequest, on_offsets.offset_delete),
        Api("OffsetFetch", 2, 8, consumer.OffsetFetchRequest, on_offsets.offset_fetch),
        Api("FindCoordinator", 0, 4, metadata.FindCoordinatorRequest, on_metadata.find_coordinator),
        Api("JoinGroup", 0, 7, consumer.JoinGroupRequest, on_groups.join_group),
        Api("Heartbeat", 0, 4, consumer.HeartbeatRequest, on_groups.heartbeat),
        Api("LeaveGroup", 0, 4, consumer.LeaveGroupRequest, on_groups.leave_group),
        Api("SyncGroup", 0, 5, consumer.SyncGroupRequest, on_groups.sync_group),
        Api("DescribeGroups", 0, 5, admin.DescribeGroupsRequest, on_groups.describe_groups),
        Api("ListGroups", 0, 4, admin.ListGroupsRequest, on_groups.list_groups),
        Api("ApiVersions", 0, 4, metadata.ApiVersionsRequest, api_versions),
        Api("CreateTopics", 2, 7, admin.CreateTopicsRequest, on_admin.create_topics),
        Api("DeleteTopics", 1, 6, admin.DeleteTopicsRequest, on_admin.delete_topics),
        Api("DeleteRecords", 0, 2, admin.DeleteRecordsRequest, on_logs.delete_records),
        Api("InitProducerId", 0, 5, producer.InitProducerIdRequest, on_transactions.init_producer_id),
        Api(
            "OffsetForLeaderEpoch",
            2,
            4,
            consumer.OffsetForLeaderEpochRequest,
            on_logs.offset_for_leader_epoch,
        ),
        Api(
            "AddPartitionsToTxn",
            0,
            3,
            producer.AddPartitionsToTxnRequest,
            on_transactions.add_partitions_to_txn,
        ),
        Api("AddOffsetsToTxn", 0, 3, producer.AddOffsetsToTxnRequest, on_transactions.add_offsets_to_txn),
        Api("EndTxn", 0, 3, producer.EndTxnRequest, on_transactions.end_txn),
        Api("TxnOffsetCommit", 0, 3, producer.TxnOffsetCommitRequest, on_transactions.txn_offset_commit),
        Api("DescribeConfigs", 1, 4, admin.DescribeConfigsRequest, on_admin.describe_configs),
        Api("CreatePartitions", 0, 3, admin.CreatePartitionsRequest, on_admin.create_partitions),
        Api("DeleteGroups", 0, 2, admin.DeleteGroupsRequest, on_groups.delete_groups),
        Api(
            "IncrementalAlterConfigs",
            0,
            1,
            admin.IncrementalAlterConfigsRequest,
            on_admin.incremental_alter_configs,
        ),
        Api("DescribeCluster", 0, 1, admin.DescribeClusterRequest, on_metadata.describe_cluster),
    ]
    return {api.key: api for api in apis}


APIS: Final[Mapping[int, Api]] = _table()
