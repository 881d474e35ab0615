"""The laws of tttcfg, for the base and for both families that inherit from it."""

from pathlib import Path

import tttcfg.testing

GOLDEN = Path(__file__).with_name("golden")

TestBase = tttcfg.testing.laws("flavours.base.config:BASE", golden=GOLDEN / "flavours_base")
TestSpeech = tttcfg.testing.laws("flavours.speech.config:SPEECH", golden=GOLDEN / "flavours_speech", parent=TestBase)
TestVideo = tttcfg.testing.laws("flavours.video.config:VIDEO", golden=GOLDEN / "flavours_video", parent=TestBase)
