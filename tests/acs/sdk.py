"""Drives the simulated ACS with Microsoft's unmodified SDK; each line "ok NAME" is one thing the SDK was content with."""

import os
import time

from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError
from azure.communication.callautomation import (
    AudioFormat,
    CallAutomationClient,
    CommunicationUserIdentifier,
    DtmfTone,
    FileSource,
    MediaStreamingAudioChannelType,
    MediaStreamingContentType,
    MediaStreamingOptions,
    PhoneNumberIdentifier,
    StreamingTransportType,
)

answered, rejected, redirected = os.environ["ACS_CONTEXTS"].split(",")
client = CallAutomationClient(os.environ["ACS_ENDPOINT"], AzureKeyCredential(os.environ["ACS_KEY"]))
callback = "https://gateway.test/callback"


def ok(name, true=True):
    assert true, name
    print("ok", name, flush=True)


def refused(name, status, act):
    try:
        act()
    except HttpResponseError as error:
        ok(name, error.status_code == status)
    else:
        raise AssertionError(name + " was not refused")


client.reject_call(rejected)
ok("reject")
client.redirect_call(redirected, CommunicationUserIdentifier("8:acs:r_agent"))
ok("redirect")
refused("a context is good once", 404, lambda: client.answer_call(rejected, callback))
refused("plain http is no callback", 400, lambda: client.answer_call(answered, "http://gateway.test/c"))

streaming = MediaStreamingOptions(
    transport_url="wss://gateway.test/media",
    transport_type=StreamingTransportType.WEBSOCKET,
    content_type=MediaStreamingContentType.AUDIO,
    audio_channel_type=MediaStreamingAudioChannelType.MIXED,
    start_media_streaming=False,
    enable_bidirectional=True,
    audio_format=AudioFormat.PCM16_K_MONO,
)
props = client.answer_call(answered, callback, media_streaming=streaming, operation_context="one")
ok("answer", bool(props.call_connection_id))
call = client.get_call_connection(props.call_connection_id)
for _ in range(500):
    if call.get_call_properties().call_connection_state == "connected":
        break
    time.sleep(0.01)
ok("get", call.get_call_properties().call_connection_state == "connected")

caller = PhoneNumberIdentifier("+15550001")
ok("list participants", len(list(call.list_participants())) == 1)
ok("get participant", call.get_participant(caller).identifier.raw_id == "4:+15550001")
call.hold(caller)
ok("hold", call.get_participant(caller).is_on_hold)
call.unhold(caller)
ok("unhold", not call.get_participant(caller).is_on_hold)
refused("a phone cannot be muted", 400, lambda: call.mute_participant(caller))
added = call.add_participant(CommunicationUserIdentifier("8:acs:r_agent"))
ok("add participant", bool(added.invitation_id))
call.mute_participant(CommunicationUserIdentifier("8:acs:r_agent"))
ok("mute")
call.cancel_add_participant_operation(added.invitation_id)
ok("cancel add")
call.remove_participant(CommunicationUserIdentifier("8:acs:r_agent"))
ok("remove participant")
refused(
    "a phone needs a caller's number", 400, lambda: call.add_participant(PhoneNumberIdentifier("+15550123"))
)
call.play_media_to_all(FileSource(url="https://gateway.test/a.wav"))
ok("play")
call.cancel_all_media_operations()
ok("cancel media")
call.send_dtmf_tones([DtmfTone.ONE, DtmfTone.POUND], caller)
ok("send DTMF")
call.start_continuous_dtmf_recognition(caller)
call.stop_continuous_dtmf_recognition(caller)
ok("DTMF recognition")
call.stop_media_streaming()
ok("media streaming")
second = client.create_call(
    PhoneNumberIdentifier("+15550123"), callback, source_caller_id_number=PhoneNumberIdentifier("+15550100")
)
ok("create call", bool(second.call_connection_id))
other = client.get_call_connection(second.call_connection_id)
refused("no stream was configured", 405, lambda: other.start_media_streaming())
call.transfer_call_to_participant(PhoneNumberIdentifier("+15550123"))
ok("transfer")
other.hang_up(is_for_everyone=True)
ok("terminate")
refused("what is over is gone", 404, lambda: other.get_call_properties())
