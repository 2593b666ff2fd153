<?php
// Publishes with texts in Latin-1, as programs do that know no UTF-8: publish.php HOST PORT EXCHANGE KEY BODY

require 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;

[, $host, $port, $exchange, $key, $body] = $argv;
$latin_1 = "caf\xE9";
$connection = new AMQPStreamConnection($host, (int) $port, 'guest', 'guest');
$channel = $connection->channel();
$message = new AMQPMessage($body, [
    'content_type' => 'application/json',
    'delivery_mode' => AMQPMessage::DELIVERY_MODE_PERSISTENT,
    'message_id' => $latin_1,
    'app_id' => "\xE9",
    'application_headers' => new AMQPTable([
        'task_name' => $key,
        'name' => $latin_1,
        $latin_1 => 1,
        'list' => [$latin_1, 'ascii'],
        'table' => ['in' => $latin_1],
    ]),
]);
$channel->confirm_select();
$channel->basic_publish($message, $exchange, $key);
$channel->wait_for_pending_acks(30);
$connection->close();
