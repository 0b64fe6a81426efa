"""The far store: one Atlas project and cluster, and who may do what in it, from where.

Users are AWS roles: a node proves who it is with the role of its machine, so that no password exists that could leak or
would have to be changed. Each zone's nodes have a role of their own, which may do what the environment grants their
application in that zone, and nothing else. Only the addresses that the platform itself comes from may connect, or,
where the environment asks for it, nobody but what comes through its private way in (``atlas_link.py``).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_mongodbatlas as atlas

from environments import AtlasSettings
from infra.atlas_key import KeyAccess, KeyAccessArgs
from infra.atlas_link import PrivateLink, PrivateLinkArgs, Ways, private_address
from infra.labels import Labels

SEARCH = "/?authSource=%24external&authMechanism=MONGODB-AWS&retryWrites=true&w=majority"
SIZE = "replicationSpecs[0].regionConfigs[0].electableSpecs.instanceSize"


@dataclass(frozen=True, slots=True)
class Client:
    """Machines of one role, and what they may do: database.collection to actions."""

    role: pulumi.Input[str]
    rights: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class FarStoreArgs:
    labels: Labels
    organisation: str
    region: str
    settings: AtlasSettings
    clients: Mapping[str, Client]
    addresses: Mapping[str, pulumi.Input[str]]
    """Whose address to the address: who may connect where there is no private way in."""
    ways: Ways
    protect: bool


class FarStore(pulumi.ComponentResource):
    """``uri`` holds no secret."""

    def __init__(self, name: str, args: FarStoreArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("turnabout:infra:FarStore", name, None, opts)
        self._args, self._name, self._under = args, name, pulumi.ResourceOptions(parent=self)
        self._kept = pulumi.ResourceOptions(parent=self, protect=args.protect)
        self.project = atlas.Project(
            name,
            org_id=args.organisation,
            name=f"turnabout-{args.labels.environment}",
            tags=dict(args.labels.tags),
            opts=self._kept,
        )
        self._link: list[pulumi.Resource] = self._private_way() if args.settings.private_link else []
        self.cluster = self._flex() if args.settings.tier == "FLEX" else self._cluster()
        for client, asks in args.clients.items():
            self._user(client, asks)
        for whose, address in args.addresses.items() if not self._link else ():
            atlas.ProjectIpAccessList(
                f"{name}-{whose}",
                project_id=self.project.id,
                ip_address=address,
                comment=whose,
                opts=self._under,
            )
        if args.settings.dedicated:
            self._care()
        self.uri: pulumi.Output[str] = pulumi.Output.concat(self._address(), SEARCH)
        self.register_outputs({"project": self.project.id, "uri": self.uri})

    def _place(self) -> str:
        """Atlas calls AWS's us-east-1 US_EAST_1."""
        return self._args.region.upper().replace("-", "_")

    def _private_way(self) -> list[pulumi.Resource]:
        link = PrivateLinkArgs(self._args.labels, self.project.id, self._place(), self._args.ways)
        return [PrivateLink(f"{self._name}-link", link, self._under).joined]

    def _address(self) -> pulumi.Output[str]:
        if self._link and isinstance(self.cluster, atlas.AdvancedCluster):
            return private_address(self.cluster)
        public: pulumi.Output[str] = self.cluster.connection_strings.standard_srv
        return public

    def _flex(self) -> atlas.FlexCluster:
        return atlas.FlexCluster(
            self._name,
            project_id=self.project.id,
            name=f"turnabout-{self._args.labels.environment}",
            provider_settings={"backing_provider_name": "AWS", "region_name": self._place()},
            termination_protection_enabled=self._args.protect,
            opts=self._kept,
        )

    def _cluster(self) -> atlas.AdvancedCluster:
        settings = self._args.settings
        own = settings.dedicated
        where = atlas.AdvancedClusterReplicationSpecRegionConfigArgs(
            provider_name="AWS" if own else "TENANT",
            backing_provider_name=None if own else "AWS",
            region_name=self._place(),
            priority=7,
            electable_specs=atlas.AdvancedClusterReplicationSpecRegionConfigElectableSpecsArgs(
                instance_size=settings.tier, node_count=3 if own else None
            ),
            auto_scaling=self._growth(),
        )
        return atlas.AdvancedCluster(
            self._name,
            project_id=self.project.id,
            name=f"turnabout-{self._args.labels.environment}",
            cluster_type="REPLICASET",
            replication_specs=[atlas.AdvancedClusterReplicationSpecArgs(region_configs=[where])],
            termination_protection_enabled=self._args.protect,
            mongo_db_major_version=settings.version if own else None,
            backup_enabled=settings.backup if own else None,
            pit_enabled=settings.backup if own else None,
            encryption_at_rest_provider=("AWS" if settings.encryption_key else "NONE") if own else None,
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=self._args.protect,
                ignore_changes=[SIZE] if settings.autoscale_to else [],  # from then on Atlas sets it
                depends_on=[*self._encrypted(), *self._link],
            ),
        )

    def _growth(self) -> atlas.AdvancedClusterReplicationSpecRegionConfigAutoScalingArgs | None:
        settings = self._args.settings
        if not settings.autoscale_to:
            return None
        return atlas.AdvancedClusterReplicationSpecRegionConfigAutoScalingArgs(
            compute_enabled=True,
            compute_scale_down_enabled=True,
            compute_min_instance_size=settings.tier,
            compute_max_instance_size=settings.autoscale_to,
            disk_gb_enabled=True,
        )

    def _encrypted(self) -> list[pulumi.Resource]:
        args = self._args
        if not args.settings.encryption_key:
            return []
        key_args = KeyAccessArgs(args.labels, self.project.id, args.settings.encryption_key)
        access = KeyAccess(f"{self._name}-key", key_args, self._under)
        key = atlas.EncryptionAtRestAwsKmsConfigArgs(
            enabled=True,
            customer_master_key_id=args.settings.encryption_key,
            region=self._place(),
            role_id=access.role_id,
        )
        return [atlas.EncryptionAtRest(self._name, project_id=self.project.id, aws_kms_config=key, opts=self._kept)]

    def _user(self, client: str, asks: Client) -> None:
        rights: dict[str, list[atlas.CustomDbRoleActionResourceArgs]] = {}
        for namespace, actions in asks.rights.items():
            database, _, collection = namespace.partition(".")
            whole = "" if collection == "*" else collection
            where = atlas.CustomDbRoleActionResourceArgs(database_name=database, collection_name=whole)
            for action in actions:
                rights.setdefault(action, []).append(where)
        role = atlas.CustomDbRole(
            f"{self._name}-{client}",
            project_id=self.project.id,
            role_name=client,
            actions=[atlas.CustomDbRoleActionArgs(action=action, resources=on) for action, on in rights.items()],
            opts=self._under,
        )
        atlas.DatabaseUser(
            f"{self._name}-{client}",
            project_id=self.project.id,
            username=asks.role,
            auth_database_name="$external",
            aws_iam_type="ROLE",
            roles=[{"role_name": role.role_name, "database_name": "admin"}],
            scopes=[{"name": self.cluster.name, "type": "CLUSTER"}],
            opts=self._under,
        )

    def _care(self) -> None:
        settings = self._args.settings
        atlas.MaintenanceWindow(
            self._name,
            project_id=self.project.id,
            day_of_week=settings.maintenance_day,
            hour_of_day=settings.maintenance_hour,
            opts=self._under,
        )
        if settings.backup:
            atlas.CloudBackupSchedule(
                self._name,
                project_id=self.project.id,
                cluster_name=self.cluster.name,
                restore_window_days=2,
                policy_item_daily={"frequency_interval": 1, "retention_unit": "days", "retention_value": 7},
                opts=self._under,
            )
