"""A running Doom: which maps are for what, how the HUD is laid out, and one session on one map.

Needs ViZDoom (``uv sync --group train``), which carries the Freedoom WADs.
"""

import contextlib
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import vizdoom as vzd

WADS = Path(vzd.__file__).parent
HELD_OUT_MAPS = frozenset(
    ["MAP03", "MAP08", "MAP13", "MAP18", "MAP23", "MAP28", "E1M3", "E2M3", "E3M3", "E4M3"],
)
VALIDATION_MAPS = frozenset(["MAP05", "MAP15", "MAP25", "E1M6", "E3M6"])
ALL_MAPS = (
    *(f"MAP{n:02}" for n in range(1, 33)),
    *(f"E{episode}M{n}" for episode in range(1, 5) for n in range(1, 10)),
)
MAPS = {
    "train": tuple(m for m in ALL_MAPS if m not in HELD_OUT_MAPS | VALIDATION_MAPS),
    "validation": tuple(m for m in ALL_MAPS if m in VALIDATION_MAPS),
    "heldout": tuple(m for m in ALL_MAPS if m in HELD_OUT_MAPS),
}
RESOLUTIONS = ("640X480", "640X360", "512X384", "640X400", "400X300", "320X240", "800X500")
BUTTONS = (
    vzd.Button.MOVE_FORWARD_BACKWARD_DELTA,
    vzd.Button.MOVE_LEFT_RIGHT_DELTA,
    vzd.Button.TURN_LEFT_RIGHT_DELTA,
    vzd.Button.LOOK_UP_DOWN_DELTA,
    vzd.Button.ATTACK,
    vzd.Button.USE,
)
VARIABLES = (
    vzd.GameVariable.HEALTH,
    vzd.GameVariable.ARMOR,
    vzd.GameVariable.SELECTED_WEAPON,
    vzd.GameVariable.POSITION_X,
    vzd.GameVariable.POSITION_Y,
    vzd.GameVariable.ANGLE,
)
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Layout:
    """How a session shows the game: picture size and HUD (``bar``, ``minimal`` or ``none``)."""

    resolution: str = "640X480"
    hud: str = "bar"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, height = self.resolution.split("X")
        return int(width), int(height)

    def health_box(self) -> Box | None:
        """Where health is shown, as pixels of the rendered picture; ``None`` without a HUD."""
        width, height = self.size
        if self.hud == "bar":  # the status bar is 320x32 units, 4:3 of the height wide, centred
            unit_x, unit_y = height * 4 / 3 / 320, height / 200
            left = width / 2 - 160 * unit_x
            return left + 47 * unit_x, 168 * unit_y, left + 105 * unit_x, float(height)
        if self.hud == "minimal":  # whole-numbered scale, lower left corner
            scale = min(width // 320, height // 200)
            return 3.0 * scale, height - 24.0 * scale, 83.0 * scale, height - 2.0 * scale
        return None

    def view_height(self) -> int:
        """Rows of the picture that show the world."""
        height = self.size[1]
        return int(height * 168 / 200) if self.hud == "bar" else height


class Session:
    """One game on one map. ``close`` it, or use it in a ``with``."""

    def __init__(self, map_name: str, layout: Layout, seed: int, skill: int = 4) -> None:
        self.map_name, self.layout = map_name, layout
        self.game = _configure(map_name, layout, seed, skill)
        with contextlib.chdir(
            tempfile.gettempdir()
        ):  # the engine leaves its settings where it starts
            self.game.init()
        self.third_person = False

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.game.close()

    def command(self, *commands: str) -> None:
        """Run console commands."""
        for command in commands:
            self.game.send_game_command(command)

    def step(self, tics: int = 1, **moves: float) -> None:
        """Play ``tics`` (1/35 s each); ``moves`` are forward, right, turn, look, attack, use."""
        names = ("forward", "right", "turn", "look", "attack", "use")
        self.game.make_action([moves.get(name, 0) for name in names], tics)
        if self.game.is_episode_finished():
            self.game.new_episode()
            self.third_person = False

    @property
    def state(self) -> vzd.GameState:
        """The last rendered state."""
        return self.game.get_state()

    def value(self, variable: vzd.GameVariable) -> float:
        """A game variable, such as health."""
        return self.game.get_game_variable(variable)

    def set_health(self, health: int) -> None:
        """Bring health to the given number from wherever it is."""
        change = health - int(self.value(vzd.GameVariable.HEALTH))
        if change:
            self.command(f"{'give' if change > 0 else 'take'} health {abs(change)}")

    def set_third_person(self, wanted: bool) -> None:
        """Camera behind the player, or the player's eyes."""
        if wanted != self.third_person:
            self.command("chase")
            self.third_person = wanted

    def turn_to(self, x: float, y: float, error_deg: float = 0.0) -> None:
        """Face a place on the map, off by ``error_deg``."""
        own_x = self.value(vzd.GameVariable.POSITION_X)
        own_y = self.value(vzd.GameVariable.POSITION_Y)
        wanted = math.degrees(math.atan2(y - own_y, x - own_x)) + error_deg
        turn = (self.value(vzd.GameVariable.ANGLE) - wanted + 180) % 360 - 180
        self.step(1, turn=turn)

    def face_openness(self, angles: int = 5) -> None:
        """Turn to the most open of a few directions."""
        depths = []
        for _ in range(angles):
            self.step(1, turn=360 / angles)
            depths.append(self.depth_ahead())
        self.step(1, turn=(depths.index(max(depths)) + 1) * 360 / angles)

    def depth_ahead(self) -> float:
        """How far the middle of the view is away, 0 to 255."""
        depth = self.state.depth_buffer
        height, width = depth.shape
        return float(depth[height // 3 : height // 2, width // 3 : -width // 3].mean())

    def screen(self) -> np.ndarray:
        """The picture, ``(height, width, 3)`` RGB."""
        return self.state.screen_buffer.copy()


def wad_of(map_name: str) -> Path:
    """The Freedoom WAD that holds a map."""
    return WADS / ("freedoom2.wad" if map_name.startswith("MAP") else "freedoom1.wad")


def _configure(map_name: str, layout: Layout, seed: int, skill: int) -> vzd.DoomGame:
    game = vzd.DoomGame()
    game.set_doom_game_path(str(wad_of(map_name)))
    game.set_doom_scenario_path(str(wad_of(map_name)))
    game.set_doom_map(map_name)
    game.set_seed(seed)
    game.set_doom_skill(skill)
    game.set_screen_resolution(getattr(vzd.ScreenResolution, f"RES_{layout.resolution}"))
    game.set_screen_format(vzd.ScreenFormat.RGB24)
    game.set_labels_buffer_enabled(True)
    game.set_depth_buffer_enabled(True)
    game.set_objects_info_enabled(True)
    game.set_automap_buffer_enabled(True)
    game.set_automap_mode(vzd.AutomapMode.WHOLE if seed % 2 else vzd.AutomapMode.NORMAL)
    game.set_automap_render_textures(seed % 4 < 2)
    game.set_render_hud(layout.hud != "none")
    game.set_render_minimal_hud(layout.hud == "minimal")
    game.set_render_weapon(True)
    game.set_render_crosshair(seed % 5 == 0)
    game.set_render_decals(True)
    game.set_render_particles(True)
    game.set_window_visible(False)
    game.set_mode(vzd.Mode.PLAYER)
    game.set_episode_timeout(1_000_000)
    game.add_game_args("+sv_cheats 1")
    game.set_available_buttons(list(BUTTONS))
    game.set_available_game_variables(list(VARIABLES))
    return game
