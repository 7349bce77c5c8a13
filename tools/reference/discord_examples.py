"""How each command in Discord that may be told something is written, without the prefix."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "animate": ("animate a dragon over a village --seconds 2",),
    "gpu batch": ("gpu batch 8", "gpu batch auto"),
    "gpu estimate": ("gpu estimate t2v 720p 4s",),
    "gpu game": ("gpu game 6GB", "gpu game 0"),
    "gpu graph": ("gpu graph 30",),
    "gpu incidents mute": ("gpu incidents mute 3", "gpu incidents mute 3 end"),
    "gpu incidents unmute": ("gpu incidents unmute 3",),
    "gpu load": ("gpu load smollm2",),
    "gpu nodes": ("gpu nodes", "gpu nodes smollm2"),
    "gpu pin": ("gpu pin smollm2",),
    "gpu plan": ("gpu plan smollm2",),
    "gpu reserve": ("gpu reserve cuda:0 6GB games",),
    "gpu reserve clear": ("gpu reserve clear cuda:0", "gpu reserve clear"),
    "gpu set": ("gpu set placement.margin 1GiB",),
    "gpu unload": ("gpu unload smollm2",),
    "gpu unpin": ("gpu unpin smollm2",),
    "gpu why": ("gpu why smollm2",),
    "imagine": (
        "imagine a castle on a cliff, at night",
        "imagine a castle --size portrait --seed 7",
    ),
    "queue cancel": ("queue cancel", "queue cancel 2"),
    "see": ("see is my health low?",),
    "watch start": ("watch start sample", "watch start screen:1"),
    "watch stop": ("watch stop", "watch stop 1"),
}
