"""Roles, their policies and instance profiles, by IAM's calls."""

from __future__ import annotations

from tests.infra.provider.kinds import Json, Kind, pairs, same_json, tags_of


class Role(Kind, token="aws:iam/role:Role", replaces="name", named="name"):
    def create(self, asked: Json) -> str:
        self.cloud.iam.create_role(
            RoleName=asked["name"], AssumeRolePolicyDocument=asked["assumeRolePolicy"], Tags=pairs(asked["tags"])
        )
        return str(asked["name"])

    def read(self, id: str, asked: Json) -> Json | None:
        role = self.cloud.iam.get_role(RoleName=id)["Role"]
        trust = same_json(asked.get("assumeRolePolicy", ""), role["AssumeRolePolicyDocument"])
        return {"name": role["RoleName"], "arn": role["Arn"], "assumeRolePolicy": trust, "tags": tags_of(role)}

    def update(self, id: str, old: Json, asked: Json) -> None:
        self.cloud.iam.update_assume_role_policy(RoleName=id, PolicyDocument=asked["assumeRolePolicy"])
        if gone := sorted(old["tags"].keys() - asked["tags"].keys()):
            self.cloud.iam.untag_role(RoleName=id, TagKeys=gone)
        self.cloud.iam.tag_role(RoleName=id, Tags=pairs(asked["tags"]))

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.iam.delete_role(RoleName=id)


class RolePolicy(Kind, token="aws:iam/rolePolicy:RolePolicy", replaces="name role", named="name"):
    def create(self, asked: Json) -> str:
        self.update("", {}, asked)
        return f"{asked['role']}:{asked['name']}"

    def read(self, id: str, asked: Json) -> Json | None:
        role, _, name = id.partition(":")
        found = self.cloud.iam.get_role_policy(RoleName=role, PolicyName=name)
        return {"role": role, "name": name, "policy": same_json(asked.get("policy", ""), found["PolicyDocument"])}

    def update(self, id: str, old: Json, asked: Json) -> None:
        self.cloud.iam.put_role_policy(RoleName=asked["role"], PolicyName=asked["name"], PolicyDocument=asked["policy"])

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.iam.delete_role_policy(RoleName=asked["role"], PolicyName=asked["name"])


class InstanceProfile(Kind, token="aws:iam/instanceProfile:InstanceProfile", replaces="name role", named="name"):
    def create(self, asked: Json) -> str:
        self.cloud.iam.create_instance_profile(InstanceProfileName=asked["name"], Tags=pairs(asked["tags"]))
        self.cloud.iam.add_role_to_instance_profile(InstanceProfileName=asked["name"], RoleName=asked["role"])
        return str(asked["name"])

    def read(self, id: str, asked: Json) -> Json | None:
        found = self.cloud.iam.get_instance_profile(InstanceProfileName=id)["InstanceProfile"]
        role = next((role["RoleName"] for role in found["Roles"]), "")
        return {"name": id, "role": role, "arn": found["Arn"], "tags": tags_of(found)}

    def update(self, id: str, old: Json, asked: Json) -> None:
        if gone := sorted(old["tags"].keys() - asked["tags"].keys()):
            self.cloud.iam.untag_instance_profile(InstanceProfileName=id, TagKeys=gone)
        self.cloud.iam.tag_instance_profile(InstanceProfileName=id, Tags=pairs(asked["tags"]))

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.iam.remove_role_from_instance_profile(InstanceProfileName=id, RoleName=asked["role"])
        self.cloud.iam.delete_instance_profile(InstanceProfileName=id)
