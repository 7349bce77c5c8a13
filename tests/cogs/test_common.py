import discord
import pytest
from discord import app_commands
from discord.ext import commands

from cogs.common import NotOperator, describe_error, operators_only, render_error
from danzar.errors import CannotPlace


class GuardedCog(commands.Cog):
    @commands.hybrid_command()
    @operators_only()
    async def guarded(self, ctx):
        await ctx.send("done")

    @commands.hybrid_command()
    async def broken(self, ctx):
        raise RuntimeError("password 1234")


@pytest.fixture
def simcord_bot(simcord_bot):
    plain_setup = simcord_bot.setup_hook

    async def setup_hook():
        await simcord_bot.add_cog(GuardedCog())
        await plain_setup()

    simcord_bot.setup_hook = setup_hook
    return simcord_bot


@pytest.mark.parametrize("how", ["prefix", "slash"])
async def test_only_operators_may_run_a_guarded_command(simcord_env, channel, alice, how):
    async def run(member):
        if how == "prefix":
            await member.send(channel, "!guarded")
            return channel.last_message.content
        return (await member.slash(channel, "guarded")).response.content

    assert await run(alice) == (
        "⚠️ This needs the role “Danzar Operator”. Ask whoever runs this server."
    )
    role = simcord_env.guild.create_role("danzar operator")
    carol = simcord_env.guild.add_member(simcord_env.create_user("carol"), roles=[role])
    assert await run(carol) == "done"
    assert all(isinstance(error.__cause__ or error, Exception) for error in simcord_env.errors)


async def test_an_administrator_is_an_operator_but_nobody_is_in_a_dm(simcord_env, channel):
    rights = discord.Permissions(administrator=True)
    role = simcord_env.guild.create_role("Owners", permissions=rights)
    user = simcord_env.create_user("dana")
    dana = simcord_env.guild.add_member(user, roles=[role])
    await dana.send(channel, "!guarded")
    assert channel.last_message.content == "done"
    await user.send_dm("!guarded")
    assert "needs the role" in user.dm_channel.last_message.content
    assert len(simcord_env.errors) == 1


async def test_a_bug_in_a_command_shows_an_id_and_logs_the_rest(
    simcord_env, channel, alice, caplog
):
    await alice.send(channel, "!broken")
    content = channel.last_message.content
    assert "1234" not in content
    assert f"id={content.split('`')[1].split()[-1]}" in caplog.text
    assert "password 1234" in caplog.text
    assert len(simcord_env.errors) == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (CannotPlace("cuda:0 has\n0.4GB free."), "⚠️ cuda:0 has 0.4GB free."),
        (
            commands.CommandInvokeError(CannotPlace("No room.")),
            "⚠️ No room.",
        ),
        (ExceptionGroup("one", [CannotPlace("No room.")]), "⚠️ No room."),
        (
            commands.CommandOnCooldown(commands.Cooldown(1, 60), 12.3, commands.BucketType.user),
            "⚠️ That was quick. Try again in 12 s.",
        ),
        (app_commands.CommandOnCooldown(app_commands.Cooldown(1, 60), 2.0), None),
        (NotOperator("This needs a role."), "⚠️ This needs a role."),
        (commands.NoPrivateMessage(), "⚠️ This works in a server's channel only."),
        (commands.BadArgument("That is no number."), "⚠️ That is no number."),
        (CannotPlace("x" * 5000), "⚠️ " + "x" * 1499 + "…"),
    ],
)
def test_errors_that_people_may_meet_are_one_friendly_line(error, line):
    assert describe_error(error) == (line or "⚠️ That was quick. Try again in 2 s.")


def test_a_group_of_several_errors_is_a_bug():
    group = ExceptionGroup("two", [CannotPlace("a"), CannotPlace("b")])
    assert describe_error(group) is None
    assert "Something went wrong" in render_error(group)
